/**
 * The client against servers that behave and servers that do not: what it asks again, what it does
 * not, and what it says of a write whose answer never came.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Change, ClientError, openClient } from '../../src/client/index.ts'
import { base64, fromBase64, prefixEnd } from '../../src/client/wire.ts'
import { openServer, scratch } from '../server/support.ts'

describe('against a cluster', () => {
  const { dir, remove } = scratch()
  let server: Awaited<ReturnType<typeof openServer>>
  let client: ReturnType<typeof openClient>
  beforeAll(async () => {
    server = await openServer({ embedded: '3', dataDir: dir })
    client = openClient({ endpoints: [server.url] })
  })
  afterAll(async () => {
    await server.stop()
    remove()
  })

  test('puts, gets, deletes, and remembers what it has seen', async () => {
    expect(await client.get('a')).toBeNull()
    const first = await client.put('a', 'one')
    expect(first).toMatchObject({ done: true, previous: null })
    expect(client.token).toEqual(first.token)
    const second = await client.put('a', 'zwei', { previous: true })
    expect(second.previous).toMatchObject({ text: 'one', version: 1 })
    expect(await client.get('a')).toMatchObject({
      ...{ text: 'zwei', version: 2, createRevision: first.revision, ttlMs: null },
    })
    expect(await client.get('a', { consistency: 'session' })).toMatchObject({ text: 'zwei' })
    expect(await client.delete('a')).toMatchObject({ deleted: 1 })
    expect(await client.put('a', '3', { only: 'present' })).toMatchObject({ done: false })
  })

  test('keys and values are any bytes', async () => {
    const key = Uint8Array.from({ length: 256 }, (_, i) => i)
    const value = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7)
    await client.put(key, value)
    const entry = await client.get(key)
    expect(Buffer.from(entry!.value).equals(Buffer.from(value))).toBe(true)
    expect(Buffer.from(entry!.key)).toEqual(Buffer.from(key))
  })

  test('cas puts over what it expects, or where nothing is', async () => {
    expect((await client.cas('c', null, '1')).done).toBe(true)
    expect((await client.cas('c', null, '2')).done).toBe(false)
    expect((await client.cas('c', '7', '2')).done).toBe(false)
    expect((await client.cas('c', '1', '2')).done).toBe(true)
    expect(await client.get('c')).toMatchObject({ text: '2' })
  })

  test('a range by prefix has those keys alone; all keys are a range too', async () => {
    for (const key of ['p', 'p/1', 'p/2', 'q']) await client.put(key, key)
    const { entries, more } = await client.range({ prefix: 'p/' })
    expect([entries.map(({ text }) => text), more]).toEqual([['p/1', 'p/2'], false])
    const all = await client.range({ from: '', to: null }, { limit: 2 })
    expect([all.entries.length, all.more]).toEqual([2, true])
    expect((await client.delete({ prefix: 'p/' })).deleted).toBe(2)
  })

  test('a transaction says which branch it took and what came of it', async () => {
    const txn = {
      if: [{ key: 't', field: 'create', value: 0 }] as const,
      then: [{ put: 't', value: '1' }, { range: { key: 't' } }],
      else: [{ delete: { key: 't' } }],
    }
    expect(await client.txn(txn)).toMatchObject({
      succeeded: true,
      answers: [{ kind: 'put' }, { kind: 'range', entries: [{ text: '1' }] }],
    })
    expect(await client.txn(txn)).toMatchObject({
      ...{ succeeded: false, answers: [{ kind: 'delete', deleted: 1 }] },
    })
  })

  test('a watch tells each change once, in order, and ends when it is left', async () => {
    const { revision } = await client.put('w/0', 'begin')
    const told: string[] = []
    const done = (async () => {
      for await (const { events } of client.watch({ prefix: 'w/' }, { from: revision })) {
        told.push(...events.map((one) => (one.kind === 'put' ? one.text : one.kind)))
        if (told.length >= 4) break
      }
    })()
    await client.put('w/1', 'one')
    await client.delete('w/1')
    await client.delete({ prefix: 'w/' })
    await done
    expect(told).toEqual(['begin', 'one', 'delete', 'delete-range'])
  })

  test('an aborted signal ends a call and a watch, and says so', async () => {
    const aborted = { signal: AbortSignal.abort() }
    await expect(client.put('x', '1', aborted)).rejects.toMatchObject({
      ...{ code: 'E_ABORTED', outcome: 'not-proposed' },
    })
    const stop = new AbortController()
    const next = client.watch({ key: 'x' }, { signal: stop.signal }).next()
    setTimeout(() => stop.abort(), 50)
    await expect(next).rejects.toMatchObject({ code: 'E_ABORTED' })
  })

  test('what the server refuses is a ClientError with its code and detail', async () => {
    const error = await client.put('', '1').catch((one: unknown) => one)
    expect(error).toBeInstanceOf(ClientError)
    expect(error).toMatchObject({
      ...{ code: 'E_REQUEST_INVALID', outcome: 'not-proposed', status: 400 },
      detail: { problems: ['key: empty'] },
    })
  })

  test('a dead endpoint among others costs a connection, not a call', async () => {
    const both = openClient({ endpoints: [await deadUrl(), server.url] })
    await both.put('both', '1')
    expect(await both.get('both')).toMatchObject({ text: '1' })
  })
})

/** Where nobody listens any more. */
async function deadUrl(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${String(port)}`
}

// ---- Servers that misbehave ------------------------------------------------------------------

type Respond = (request: IncomingMessage, response: ServerResponse, count: number) => void

describe('against servers that fail', () => {
  const open: Server[] = []
  afterEach(() => {
    for (const one of open.splice(0)) {
      one.closeAllConnections()
      one.close()
    }
  })

  async function fake(respond: Respond): Promise<{ url: string; asked: string[] }> {
    const asked: string[] = []
    const server = createServer((request, response) => {
      request.resume()
      request.on('end', () => {
        asked.push(request.url!)
        respond(request, response, asked.length)
      })
    })
    open.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, asked }
  }

  const reply = (response: ServerResponse, status: number, body: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  const header = (id: number, index = 5) => ({
    header: { member_id: String(id), token: { cluster: 'c', epoch: 0, index } },
  })
  const ok: Respond = (_request, response) => reply(response, 200, { ...header(1), done: true })
  const hangUp: Respond = (request) => request.socket.destroy()
  const refuse =
    (code: string, outcome: string, status = 503, detail = {}): Respond =>
    (_request, response) =>
      reply(response, status, { code, message: 'planted', outcome, detail })
  const short = { timeoutMs: 300 }

  test('a write whose connection broke is unknown, and is not sent again', async () => {
    const [one, two] = [await fake(hangUp), await fake(ok)]
    const client = openClient({ endpoints: [one.url, two.url] })
    await expect(client.put('k', 'v')).rejects.toMatchObject({
      ...{ code: 'E_UNREACHABLE', outcome: 'unknown' },
    })
    expect([one.asked.length, two.asked.length]).toEqual([1, 0])
  })

  test('a read whose connection broke is asked elsewhere', async () => {
    const [one, two] = [
      await fake(hangUp),
      await fake((_q, r) => reply(r, 200, { ...header(2), kvs: [] })),
    ]
    const client = openClient({ endpoints: [one.url, two.url] })
    expect(await client.get('k')).toBeNull()
    expect([one.asked.length, two.asked.length]).toEqual([1, 1])
  })

  test('a write that was not proposed is sent again, elsewhere', async () => {
    const one = await fake(refuse('E_OVERLOADED', 'not-proposed'))
    const two = await fake(ok)
    expect(await openClient({ endpoints: [one.url, two.url] }).put('k', 'v')).toMatchObject({
      done: true,
    })
    expect([one.asked.length, two.asked.length]).toEqual([1, 1])
  })

  test('a write whose outcome is unknown by the server is not', async () => {
    const one = await fake(refuse('E_LEADERSHIP_LOST', 'unknown'))
    const two = await fake(ok)
    await expect(openClient({ endpoints: [one.url, two.url] }).put('k', 'v')).rejects.toMatchObject(
      { code: 'E_LEADERSHIP_LOST', outcome: 'unknown', status: 503 },
    )
    expect(two.asked).toEqual([])
  })

  test('who leads is asked next, and first from then on', async () => {
    const status =
      (id: number, then: Respond): Respond =>
      (request, response, count) =>
        request.url === '/v3/maintenance/status'
          ? reply(response, 200, header(id))
          : then(request, response, count)
    const elsewhere = refuse('E_NOT_LEADER', 'not-proposed', 503, { leader: 3 })
    const one = await fake(status(1, elsewhere))
    const two = await fake(status(2, elsewhere))
    const three = await fake(status(3, (_q, r) => reply(r, 200, { ...header(3), done: true })))
    const client = openClient({ endpoints: [one.url, two.url, three.url] })
    await client.put('k', '1')
    await client.put('k', '2')
    const puts = [one, two, three].map(
      ({ asked }) => asked.filter((path) => path === '/v3/kv/put').length,
    )
    expect(puts).toEqual([1, 0, 2])
  })

  test('nobody leads for a while: it waits, and asks until its time is over', async () => {
    const one = await fake((request, response, count) =>
      (count < 4 ? refuse('E_NOT_LEADER', 'not-proposed', 503, { leader: 0 }) : ok)(
        ...([request, response, count] as const),
      ),
    )
    expect(await openClient({ endpoints: [one.url] }).put('k', 'v')).toMatchObject({ done: true })
    const never = await fake(refuse('E_NOT_LEADER', 'not-proposed', 503, { leader: 0 }))
    await expect(
      openClient({ endpoints: [never.url], ...short }).put('k', 'v'),
    ).rejects.toMatchObject({ code: 'E_TIMEOUT', outcome: 'not-proposed' })
  })

  test('no endpoint at all: not proposed, with the reason', async () => {
    const client = openClient({ endpoints: [await deadUrl()], ...short })
    await expect(client.put('k', 'v')).rejects.toMatchObject({
      code: 'E_TIMEOUT',
      outcome: 'not-proposed',
      message: expect.stringContaining('ECONNREFUSED') as string,
    })
  })

  test('a server that hangs: a write is unknown at last, a read is asked elsewhere', async () => {
    const one = await fake(() => undefined)
    await expect(
      openClient({ endpoints: [one.url], ...short }).put('k', 'v'),
    ).rejects.toMatchObject({ code: 'E_TIMEOUT', outcome: 'unknown' })
    const two = await fake((_q, r) => reply(r, 200, { ...header(2), kvs: [] }))
    expect(await openClient({ endpoints: [one.url, two.url] }).get('k')).toBeNull()
  })

  test('an answer that is none is unknown of a write', async () => {
    const one = await fake((_request, response) => {
      response.writeHead(502, { 'content-type': 'text/html' })
      response.end('<h1>bad gateway</h1>')
    })
    await expect(openClient({ endpoints: [one.url] }).put('k', 'v')).rejects.toMatchObject({
      ...{ code: 'E_ANSWER', outcome: 'unknown', status: 502 },
    })
  })

  test('a watch goes on at another endpoint behind what it has told', async () => {
    const event = (index: number) => ({
      result: {
        ...header(1, index),
        events: [{ type: 'PUT', kv: { key: base64('k'), value: base64(String(index)) } }],
      },
    })
    const created = (index: number) => ({ result: { ...header(1, index), created: true } })
    const bodies: unknown[] = []
    const tell =
      (messages: object[], then: (response: ServerResponse) => void): Respond =>
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' })
        for (const one of messages) response.write(`${JSON.stringify(one)}\n`)
        setTimeout(() => then(response), 20)
      }
    const withBody = (respond: Respond) => async () => {
      const made = await fake(respond)
      open.at(-1)!.prependListener('request', (request: IncomingMessage) => {
        request.on('data', (chunk: Buffer) => bodies.push(JSON.parse(chunk.toString())))
      })
      return made
    }
    const one = await withBody(tell([created(4), event(5), event(6)], (r) => r.destroy()))()
    const two = await withBody(tell([created(6), event(9)], () => undefined))()
    const got: Change[] = []
    const client = openClient({ endpoints: [one.url, two.url] })
    for await (const change of client.watch({ key: 'k' }, { from: 5 })) {
      got.push(change)
      if (got.length === 3) break
    }
    expect(got.map(({ revision }) => revision)).toEqual([5, 6, 9])
    expect(bodies).toMatchObject([
      { create_request: { start_revision: 5 } },
      { create_request: { token: { cluster: 'c', epoch: 0, index: 6 } } },
    ])
  })

  test('a watch that cannot go on fails, and does not hang', async () => {
    const compacted = { error: { code: 'E_COMPACTED', message: 'gone', detail: { first: 9 } } }
    const one = await fake((_request, response) => reply(response, 200, compacted))
    const next = openClient({ endpoints: [one.url] })
      .watch({ key: 'k' }, { from: 1 })
      .next()
    await expect(next).rejects.toMatchObject({ code: 'E_COMPACTED', detail: { first: 9 } })
    const dead = openClient({ endpoints: [await deadUrl()] })
    await expect(dead.watch({ key: 'k' }, { unreachableMs: 250 }).next()).rejects.toMatchObject({
      code: 'E_UNREACHABLE',
    })
  })
})

test('options that are none are refused at once', () => {
  expect(() => openClient({ endpoints: [] })).toThrow('endpoints: want one at least')
  expect(() => openClient({ endpoints: ['redis://x'], timeoutMs: 0 })).toThrow(
    /endpoints: redis:\/\/x: .*; timeoutMs=0/,
  )
})

test('the end of a prefix is the next text that does not begin with it', () => {
  const end = (...bytes: number[]) => prefixEnd(Uint8Array.from(bytes))
  expect(end(1, 2)).toEqual(Uint8Array.of(1, 3))
  expect(end(1, 255, 255)).toEqual(Uint8Array.of(2))
  expect(end(255)).toBeNull()
  expect(end()).toBeNull()
  expect(fromBase64(base64(Uint8Array.of(0, 255)))).toEqual(Uint8Array.of(0, 255))
})
