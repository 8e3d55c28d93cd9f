/** The HTTP API of a cluster in this process: keys, watches, members, health, and refusals. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import { type Answer, base64, openServer, post, scratch } from './support.ts'

const { dir, remove } = scratch()
let server: Awaited<ReturnType<typeof openServer>>
let url = ''
beforeAll(async () => {
  server = await openServer({ embedded: '3', dataDir: dir })
  url = server.url
})
afterAll(async () => {
  await server.stop()
  remove()
})

const put = (key: string, value: string, more: object = {}): Promise<Answer> =>
  post(url, '/v3/kv/put', { key: base64(key), value: base64(value), ...more })
const range = async (body: object): Promise<readonly (readonly string[])[]> => {
  const answer = await post(url, '/v3/kv/range', body)
  expect(answer.status).toBe(200)
  const kvs = answer.body['kvs'] as { key: string; value?: string }[]
  return kvs.map(({ key, value }) => [textOf(key), ...(value === undefined ? [] : [textOf(value)])])
}
const textOf = (text: string): string => Buffer.from(text, 'base64').toString()
const revisionOf = ({ body }: Answer): number =>
  Number((body['header'] as { revision: string }).revision)

describe('keys', () => {
  test('what is put is there, with its revisions as texts', async () => {
    const first = await put('a', '1')
    expect(first).toMatchObject({ status: 200, body: { done: true } })
    const second = await put('a', '2', { prev_kv: true })
    expect(second.body).toMatchObject({ prev_kv: { value: base64('1'), version: '1' } })
    const { body } = await post(url, '/v3/kv/range', { key: base64('a') })
    expect(body).toMatchObject({
      kvs: [
        {
          key: base64('a'),
          value: base64('2'),
          version: '2',
          create_revision: String(revisionOf(first)),
          mod_revision: String(revisionOf(second)),
        },
      ],
      more: false,
      count: '1',
    })
  })

  test('a range ends before its end, at its limit, or with the last key', async () => {
    for (const key of ['r1', 'r2', 'r3']) await put(key, key.toUpperCase())
    const [key, range_end] = [base64('r1'), base64('r3')]
    expect(await range({ key, range_end })).toEqual([
      ['r1', 'R1'],
      ['r2', 'R2'],
    ])
    expect(await range({ key, rangeEnd: base64('r9'), limit: '1' })).toEqual([['r1', 'R1']])
    expect((await range({ key: base64('r2'), range_end: 'AA==' })).slice(0, 2)).toEqual([
      ['r2', 'R2'],
      ['r3', 'R3'],
    ])
    expect(await range({ key, range_end, keys_only: true })).toEqual([['r1'], ['r2']])
    expect(await range({ key: base64('absent') })).toEqual([])
  })

  test('delete says how many, of a key and of a range', async () => {
    for (const key of ['d1', 'd2', 'd3']) await put(key, '')
    const remove = (body: object) => post(url, '/v3/kv/deleterange', body)
    expect((await remove({ key: base64('d1') })).body['deleted']).toBe('1')
    expect((await remove({ key: base64('d1') })).body['deleted']).toBe('0')
    const both = { key: base64('d'), range_end: base64('e') }
    expect((await remove(both)).body['deleted']).toBe('2')
  })

  test('put does nothing unless what it asks of the key holds', async () => {
    expect((await put('once', '1', { only: 'absent' })).body['done']).toBe(true)
    expect((await put('once', '2', { only: 'absent' })).body['done']).toBe(false)
    expect(await range({ key: base64('once') })).toEqual([['once', '1']])
  })

  test('a time to live shows, and ends', async () => {
    await put('short', '1', { ttl_ms: 200 })
    const { body } = await post(url, '/v3/kv/range', { key: base64('short') })
    const [kv] = body['kvs'] as { ttl_ms: string }[]
    expect(Number(kv!.ttl_ms)).toBeLessThanOrEqual(200)
    await expect.poll(() => range({ key: base64('short') }), { timeout: 20_000 }).toEqual([])
  })

  test('a transaction does one branch, all of it, and says what came of it', async () => {
    const txn = {
      compare: [{ key: base64('lock'), target: 'CREATE', result: 'EQUAL', create_revision: '0' }],
      success: [
        { requestPut: { key: base64('lock'), value: base64('me') } },
        { request_range: { key: base64('lock') } },
      ],
      failure: [
        { request_range: { key: base64('lock') } },
        { request_delete_range: { key: base64('x') } },
      ],
    }
    const won = await post(url, '/v3/kv/txn', txn)
    expect(won.body).toMatchObject({
      succeeded: true,
      responses: [{ response_put: {} }, { response_range: { kvs: [{ value: base64('me') }] } }],
    })
    const lost = await post(url, '/v3/kv/txn', txn)
    expect(lost.body).toMatchObject({
      succeeded: false,
      responses: [
        { response_range: { kvs: [{ value: base64('me') }] } },
        { response_delete_range: { deleted: '0' } },
      ],
    })
  })

  test.each([
    [{ consistency: 'stale', max_staleness_ms: 60_000 }],
    [{ serializable: true, max_staleness_ms: '60000' }],
    [{ consistency: 'linearizable', timeout_ms: 5000 }],
  ])('a read may be %j', async (how) => {
    await put('how', '1')
    await expect.poll(() => range({ key: base64('how'), ...how })).toEqual([['how', '1']])
  })

  test('a session read takes the token of a header', async () => {
    const { body } = await put('mine', '1')
    const { token } = body['header'] as { token: object }
    expect(await range({ key: base64('mine'), consistency: 'session', token })).toEqual([
      ['mine', '1'],
    ])
    const other = { ...token, cluster: 'another' }
    const refused = await post(url, '/v3/kv/range', {
      ...{ key: base64('mine'), consistency: 'session', token: other },
    })
    expect(refused).toMatchObject({ status: 400, body: { code: 'E_TOKEN' } })
  })

  test('sync answers with a token', async () => {
    expect((await post(url, '/v3/kv/sync', {})).body).toMatchObject({ header: { token: {} } })
  })
})

describe('refused, with nothing proposed', () => {
  const key = base64('k')
  test.each<[path: string, body: unknown, problems: readonly string[]]>([
    ['/v3/kv/put', {}, ['key: missing']],
    ['/v3/kv/put', [], ['body: want an object', 'key: missing']],
    ['/v3/kv/put', { key: 'k', value: 7 }, ['key: want base64', 'value: want base64']],
    ['/v3/kv/put', { key, lease: '7' }, ['lease: no such field']],
    ['/v3/kv/put', { key, ttl_ms: 5, keep_ttl: true }, ['ttl_ms, keep_ttl: want one of them']],
    ['/v3/kv/range', { key, revision: '3' }, ['revision: no such field']],
    ['/v3/kv/range', { key, limit: -1 }, ['limit: want a whole number from 0 to 10000']],
    ['/v3/kv/txn', { success: [{}] }, ['success[0]: want one of request_put']],
    ['/v3/kv/txn', { success: [{ request_put: { key, x: 1 } }] }, ['success[0].request_put.x']],
    [
      '/v3/kv/txn',
      { compare: [{ target: 'SIZE' }] },
      ['compare[0].key: missing', 'compare[0].target'],
    ],
    ['/v3/cluster/member/remove', {}, ['id: missing']],
    ['/v3/cluster/member/set', { id: 1 }, ['weight, source, forced: want one of them']],
    ['/v3/watch', {}, ['create_request: missing']],
  ])('%s %j', async (path, body, problems) => {
    const answer = await post(url, path, body)
    expect(answer).toMatchObject({
      status: 400,
      body: { code: 'E_REQUEST_INVALID', outcome: 'not-proposed' },
    })
    const found = (answer.body['detail'] as { problems: string[] }).problems
    problems.forEach((problem, i) => expect(found[i]).toContain(problem))
    expect(found).toHaveLength(problems.length)
  })

  test('a key beyond 4 KiB, and a body beyond 1.5 MiB', async () => {
    const long = await put('k'.repeat(4_097), '')
    expect(long).toMatchObject({ status: 400, body: { code: 'E_REQUEST_INVALID' } })
    expect((await put('large', 'v'.repeat(1_150_000))).status).toBe(200)
    const large = await put('k', 'v'.repeat(1_200_000))
    expect(large).toMatchObject({ status: 413, body: { code: 'E_PAYLOAD_SIZE' } })
  })

  test('what is no JSON, or another type of content, or another method', async () => {
    expect((await post(url, '/v3/kv/put', '{')).body['code']).toBe('E_REQUEST_INVALID')
    expect((await post(url, '/v3/kv/put', '"\\ud800')).status).toBe(400)
    expect((await post(url, '/v3/kv/put', Uint8Array.of(0xff, 0xfe))).status).toBe(400)
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    expect(await post(url, '/v3/kv/put', '{}', form)).toMatchObject({
      ...{ status: 415, body: { code: 'E_CONTENT_TYPE' } },
    })
    expect((await fetch(`${url}/v3/kv/put`)).status).toBe(405)
    expect((await fetch(`${url}/`)).status).toBe(404)
  })

  test('another host, another origin', async () => {
    expect((await post(url, '/v3/kv/sync', {}, { origin: 'https://evil.example' })).status).toBe(
      403,
    )
    const at = new URL(url)
    const { request } = await import('node:http')
    const status = await new Promise((resolve) => {
      const headers = { host: 'evil.example', 'content-type': 'application/json' }
      const asked = request({ ...{ port: at.port, path: '/v3/kv/sync', method: 'POST' }, headers })
      asked.on('response', (response) => resolve(response.statusCode))
      asked.end('{}')
    })
    expect(status).toBe(421)
  })
})

describe('watch', () => {
  interface Message {
    readonly result?: {
      readonly created?: boolean
      readonly events?: readonly { type: string; kv: { key: string; value?: string } }[]
      readonly header: { readonly revision: string }
    }
    readonly error?: { readonly code: string }
    readonly watch_id?: number
  }
  const shown = ({ result, error }: Message): string => {
    if (error !== undefined) return error.code
    if (result!.created === true) return 'created'
    const all = result!.events!.map(({ type, kv }) => `${type} ${textOf(kv.key)}`)
    return all.join(', ')
  }

  /** Reads lines of a stream until there are as many as wanted. */
  async function linesOf(response: Response, count: number): Promise<string[]> {
    const lines: string[] = []
    let rest = ''
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      const parts = `${rest}${Buffer.from(chunk).toString()}`.split('\n')
      rest = parts.pop()!
      lines.push(...parts.filter((line) => line !== ''))
      if (lines.length >= count) break
    }
    return lines
  }

  test('JSON lines tell what happened from a revision on, and what happens now', async () => {
    const first = revisionOf(await put('w/1', 'a'))
    await put('elsewhere', 'x')
    const response = await fetch(`${url}/v3/watch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        create_request: { key: base64('w/'), range_end: base64('w0'), start_revision: first },
      }),
    })
    const lines = linesOf(response, 4)
    await put('w/2', 'b')
    await post(url, '/v3/kv/deleterange', { key: base64('w/'), range_end: base64('w0') })
    const messages = (await lines).map((line) => JSON.parse(line) as Message)
    expect(messages.map(shown)).toEqual(['created', 'PUT w/1', 'PUT w/2', 'DELETE w/'])
    expect(messages[1]!.result!.header.revision).toBe(String(first))
  })

  test('server-sent events have their revision as id, and go on behind the last one', async () => {
    const first = revisionOf(await put('s', '1'))
    await put('s', '2')
    const at = `${url}/v3/watch?key=${base64('s')}&start_revision=${String(first)}`
    const one = await linesOf(await fetch(at), 4)
    expect(one.slice(2, 4)).toEqual([`id: ${String(first)}`, expect.stringContaining('"PUT"')])
    const headers = { 'last-event-id': String(first) }
    const two = await linesOf(await fetch(at, { headers }), 4)
    expect(two[2]).not.toBe(`id: ${String(first)}`)
    expect(two[3]).toContain(base64('2'))
  })

  test('one WebSocket has many watches, each by its number, until it is cancelled', async () => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v3/watch`)
    const got: string[] = []
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as Message & { result?: { canceled?: boolean } }
      const what = message.result?.canceled === true ? 'canceled' : shown(message)
      got.push(`${String(message.watch_id ?? '-')} ${what}`)
    })
    await new Promise((resolve) => socket.on('open', resolve))
    const send = (body: object): void => socket.send(JSON.stringify(body))
    send({ create_request: { key: base64('x') } })
    send({ create_request: { key: base64('y'), watch_id: 9 } })
    await expect.poll(() => [...got].sort()).toEqual(['1 created', '9 created'])
    await put('x', '1')
    await put('y', '1')
    await expect.poll(() => got.slice(2).sort()).toEqual(['1 PUT x', '9 PUT y'])
    send({ cancel_request: { watch_id: 9 } })
    await expect.poll(() => got.at(-1)).toBe('9 canceled')
    await put('y', '2')
    await put('x', '2')
    await expect.poll(() => got.at(-1)).toBe('1 PUT x')
    expect(got.filter((line) => line === '9 PUT y')).toHaveLength(1)
    send({ create_request: { key: base64('x'), watch_id: 1 } })
    await expect.poll(() => got.at(-1)).toBe('- E_REQUEST_INVALID')
    socket.close()
  })
})

describe('operators', () => {
  test('members are listed and set, and leadership moves', async () => {
    const { body } = await post(url, '/v3/cluster/member/list', {})
    expect(body['members']).toMatchObject([
      { id: '1', name: 'n1', role: 'voter' },
      { id: '2', name: 'n2' },
      { id: '3', name: 'n3' },
    ])
    const target = body['leader'] === '3' ? 2 : 3
    const moved = await post(url, '/v3/maintenance/transfer-leadership', { target_id: target })
    expect(moved.status).toBe(200)
    await expect
      .poll(async () => (await post(url, '/v3/maintenance/status', {})).body['leader'])
      .toBe(String(target))
    expect((await put('after', 'move')).status).toBe(200)
    const set = await post(url, '/v3/cluster/member/set', { id: target, weight: 7 })
    expect(set.status).toBe(200)
  })

  test('a step that is none is refused as such', async () => {
    const answer = await post(url, '/v3/cluster/member/remove', { id: 77 })
    expect(answer).toMatchObject({
      status: 409,
      body: { code: 'E_CHANGE_REFUSED', outcome: 'not-proposed' },
    })
    const later = { id: 4, name: 'n4', peer_url: 'tcp://127.0.0.1:1' }
    expect((await post(url, '/v3/cluster/member/address', later)).status).toBe(501)
  })
})

describe('monitoring', () => {
  const get = async (path: string) => {
    const response = await fetch(`${server.addresses.monitoring!}${path}`)
    return { status: response.status, text: await response.text() }
  }

  test('a cluster that serves is healthy, live and ready, and says no more', async () => {
    expect(await get('/health')).toEqual({ status: 200, text: '{"health":"true","reason":""}' })
    expect(await get('/livez')).toEqual({ status: 200, text: 'ok\n' })
    await expect.poll(() => get('/readyz')).toEqual({ status: 200, text: 'ok\n' })
  })

  test('metrics have names, help and values of every node', async () => {
    await put('metered', '1')
    const { text } = await get('/metrics')
    for (const node of ['n1', 'n2', 'n3'])
      expect(text).toMatch(new RegExp(`^xpaxos_server_has_leader{node="${node}"} 1$`, 'm'))
    expect(text.match(/^xpaxos_server_is_leader{node="n."} 1$/gm)).toHaveLength(1)
    expect(text).toMatch(/^xpaxos_disk_wal_fsyncs_total{node="n1"} [1-9]/m)
    expect(text).toMatch(/^xpaxos_http_requests_total{route="\/v3\/kv\/put",status="200"} [1-9]/m)
    expect(text).toMatch(/^# HELP xpaxos_stage_busy_seconds_total /m)
    const names = [...text.matchAll(/^([a-z_]+)[{ ]/gm)].map(([, name]) => name!)
    expect(names.filter((name) => !name.startsWith('xpaxos_'))).toEqual([])
  })

  test('status is JSON for people', async () => {
    const { text } = await get('/status')
    expect(JSON.parse(text)).toMatchObject({
      schema: 'xpaxos-status/1',
      version: '1.2.3',
      nodes: [{ name: 'n1' }, { name: 'n2' }, { name: 'n3' }],
      clients: [url],
    })
  })

  test('it reads only', async () => {
    const at = server.addresses.monitoring!
    expect((await fetch(`${at}/status`, { method: 'POST' })).status).toBe(405)
    expect((await fetch(`${at}/v3/kv/put`, { method: 'POST' })).status).toBe(404)
    expect((await fetch(`${at}/livez`, { headers: { origin: 'https://a.example' } })).status).toBe(
      403,
    )
  })
})
