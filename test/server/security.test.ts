/** Security defaults of a running server, from outside: tokens, limits, strangers' bytes, files. */
import { execFile } from 'node:child_process'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openClient } from '../../src/client/index.ts'
import { base64, openServer, post, scratch } from './support.ts'

const READER = 'reader-token-0123456789'
const WRITER = 'writer-token-0123456789'
const ADMIN = 'admin-token-0123456789'

const { dir, remove } = scratch()
let server: Awaited<ReturnType<typeof openServer>>
let url = ''
beforeAll(async () => {
  const tokenFile = join(dir, 'tokens')
  const text = `read ${READER}\nwrite ${WRITER}\nadmin ${ADMIN}\n`
  writeFileSync(tokenFile, text, { mode: 0o600 })
  server = await openServer({
    ...{ embedded: '1', dataDir: join(dir, 'data'), tokenFile },
    allowedOrigins: 'https://page.example',
  })
  url = server.url
})
afterAll(async () => {
  await server.stop()
  remove()
})

const asked = (path: string, token: string | null, body: object = {}) =>
  post(url, path, body, token === null ? {} : { authorization: `Bearer ${token}` })

const PUT = { key: base64('k'), value: base64('v') }
const WEIGHT = { id: 1, weight: 5 }

test.each<[path: string, body: object, allowed: readonly (string | null)[]]>([
  ['/v3/kv/range', { key: base64('k') }, [READER, WRITER, ADMIN]],
  ['/v3/kv/put', PUT, [WRITER, ADMIN]],
  ['/v3/kv/deleterange', { key: base64('k') }, [WRITER, ADMIN]],
  ['/v3/kv/txn', {}, [WRITER, ADMIN]],
  ['/v3/cluster/member/list', {}, [READER, WRITER, ADMIN]],
  ['/v3/cluster/member/set', WEIGHT, [ADMIN]],
  ['/v3/maintenance/status', {}, [READER, WRITER, ADMIN]],
])('%s is for those with the role, and for nobody else', async (path, body, allowed) => {
  for (const token of [null, 'x'.repeat(20), READER, WRITER, ADMIN]) {
    const { status } = await asked(path, token, body)
    const isKnown = [READER, WRITER, ADMIN].includes(token ?? '')
    expect([token, status]).toEqual([token, allowed.includes(token) ? 200 : isKnown ? 403 : 401])
  }
})

test('watches want a token too, in every form', async () => {
  expect((await fetch(`${url}/v3/watch?key=${base64('k')}`)).status).toBe(401)
  expect((await asked('/v3/watch', null, { create_request: {} })).status).toBe(401)
  const head = 'GET /v3/watch HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n'
  const upgrade = 'upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n'
  expect(await talk(`${head}${upgrade}`)).toMatch(/^HTTP\/1.1 401 /)
})

test('the client hands its token over, and says what it may not', async () => {
  const client = openClient({ endpoints: [url], token: READER })
  expect(await client.get('k')).toBeNull()
  await expect(client.put('k', 'v')).rejects.toMatchObject({
    ...{ code: 'E_FORBIDDEN', outcome: 'not-proposed', status: 403 },
  })
})

test('a page of an allowed origin may ask, another may not, and no answer has a star', async () => {
  const preflight = (origin: string) =>
    fetch(`${url}/v3/kv/put`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    })
  const allowed = await preflight('https://page.example')
  expect(allowed.status).toBe(204)
  expect(allowed.headers.get('access-control-allow-origin')).toBe('https://page.example')
  const refused = await preflight('https://evil.example')
  expect(refused.status).toBe(403)
  expect(refused.headers.get('access-control-allow-origin')).toBeNull()
})

test('monitoring asks for no token and tells no secret', async () => {
  const at = server.addresses.monitoring!
  for (const path of ['/health', '/livez', '/metrics', '/status']) {
    const text = await (await fetch(`${at}${path}`)).text()
    for (const secret of [READER, WRITER, ADMIN]) expect(text).not.toContain(secret)
  }
  const logs = JSON.stringify(server.logged)
  for (const secret of [READER, WRITER, ADMIN]) expect(logs).not.toContain(secret)
})

test('the same tokens and roles hold over RESP', async () => {
  const at = { port: Number(new URL(server.addresses.resp!).port), quietMs: 500 }
  const ask = (...lines: string[]) => talk(lines.map((line) => `${line}\r\n`).join(''), at)
  expect(await ask('GET k')).toMatch(/^-NOAUTH/)
  expect(await ask(`AUTH ${'x'.repeat(20)}`, 'GET k')).toMatch(/^-WRONGPASS.*\r\n-NOAUTH/)
  expect(await ask(`AUTH ${READER}`, 'GET resp')).toBe('+OK\r\n$-1\r\n')
  expect(await ask(`AUTH ${READER}`, 'SET resp 1')).toMatch(/^\+OK\r\n-NOPERM/)
  expect(await ask(`AUTH default ${WRITER}`, 'SET resp 1')).toBe('+OK\r\n+OK\r\n')
})

test('files are for their owner alone', () => {
  const modes = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name)
      const own = `${entry.name} ${(statSync(path).mode & 0o077).toString(8)}`
      return entry.isDirectory() ? [own, ...modes(path)] : [own]
    })
  expect(modes(join(dir, 'data')).filter((line) => !line.endsWith(' 0'))).toEqual([])
  expect(statSync(join(dir, 'data')).mode & 0o077).toBe(0)
})

test('what is open without protection is warned of at every start', async () => {
  // Loopback by another name, which nobody takes for it.
  const listenMonitoringUrl = 'http://[::ffff:127.0.0.1]:0'
  const own = { embedded: '1', dataDir: join(dir, 'open'), listenMonitoringUrl }
  await expect(openServer(own)).rejects.toThrow('is not loopback')
  for (let start = 0; start < 2; start++) {
    const server = await openServer({ ...own, insecureClientNetwork: true })
    await server.stop()
    const warnings = server.logged.filter(({ level }) => level === 'warn')
    expect(warnings).toMatchObject([{ message: expect.stringContaining('insecure') as string }])
  }
})

test('a second server on the directory is refused, and the first goes on', async () => {
  await expect(openServer({ embedded: '1', dataDir: join(dir, 'data') })).rejects.toMatchObject({
    code: 'E_DATA_DIR',
  })
  expect((await asked('/v3/kv/sync', READER)).status).toBe(200)
})

test('a directory of another node or cluster is refused by name', async () => {
  const cluster = 'a=tcp://127.0.0.1:0,b=tcp://127.0.0.1:0,c=tcp://127.0.0.1:0'
  const dataDir = join(dir, 'other')
  const listenPeerUrls = 'tcp://127.0.0.1:0'
  const own = { dataDir, initialCluster: cluster, listenPeerUrls }
  await (await openServer({ ...own, name: 'c' })).stop()
  await expect(openServer({ ...own, name: 'b' })).rejects.toThrow('holds node-3')
  await expect(
    openServer({ ...own, name: 'c', initialCluster: cluster.replace('a=', 'aa=') }),
  ).rejects.toThrow(/belongs to clusterId/)
  await expect(openServer({ ...own, name: 'c', initialClusterToken: 'another' })).rejects.toThrow(
    /belongs to clusterId/,
  )
})

test('curl works as the documents say', async () => {
  const curl = async (...args: string[]): Promise<unknown> =>
    JSON.parse((await promisify(execFile)('curl', ['-s', '-m', '20', ...args])).stdout)
  const headers = ['-H', 'content-type: application/json', '-H', `authorization: Bearer ${ADMIN}`]
  const body = ['-d', '{"key":"aGVsbG8=","value":"d29ybGQ="}']
  expect(await curl(`${url}/v3/kv/put`, ...headers, ...body)).toMatchObject({ done: true })
  const read = await curl(`${url}/v3/kv/range`, ...headers, '-d', '{"key":"aGVsbG8="}')
  expect(read).toMatchObject({ kvs: [{ value: 'd29ybGQ=' }] })
})

// ---- Strangers' bytes ------------------------------------------------------------------------

/** Sends bytes and takes what comes until the server hangs up, or has said nothing for a while. */
function talk(
  bytes: string | Uint8Array,
  { port = Number(new URL(url).port), quietMs = 2_000 } = {},
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const end = (): void => {
      socket.destroy()
      resolve(text)
    }
    socket.setTimeout(quietMs, end)
    socket.on('error', end)
    socket.on('close', end)
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.end(bytes)
  })
}

describe('whatever comes in, the server answers with a status and goes on', () => {
  const isFine = async (): Promise<void> => {
    expect((await asked('/v3/kv/range', READER, { key: base64('k') })).status).toBe(200)
  }
  const head = (path: string, size: number): Buffer =>
    Buffer.from(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${ADMIN}\r\n` +
        'content-type: application/json\r\nconnection: close\r\n' +
        `content-length: ${String(size)}\r\n\r\n`,
    )

  test('bytes that are no HTTP', async () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 })
    await fc.assert(
      fc.asyncProperty(bytes, async (given) => {
        expect(await talk(given)).toMatch(/^$|^HTTP\/1\.1 4[0-9][0-9] /)
      }),
      { numRuns: 150 },
    )
    await isFine()
  }, 120_000)

  const PATHS = [
    ...[
      '/v3/kv/put',
      '/v3/kv/range',
      '/v3/kv/deleterange',
      '/v3/kv/txn',
      '/v3/kv/sync',
      '/v3/watch',
    ],
    ...['/v3/cluster/member/set', '/v3/cluster/member/add', '/v3/cluster/member/address'],
    ...['/v3/maintenance/status', '/v3/maintenance/transfer-leadership', '/v3/nothing'],
  ]
  const names = [
    ...['key', 'value', 'range_end', 'limit', 'compare', 'success', 'target', 'result', 'token'],
    ...[
      'create_request',
      'request_put',
      'request_range',
      'start_revision',
      'id',
      'weight',
      'ttl_ms',
    ],
    ...[
      '__proto__',
      'constructor',
      'hasOwnProperty',
      'consistency',
      'target_id',
      'peer_url',
      'name',
    ],
  ]
  const value = fc.letrec<{ any: unknown; object: unknown }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom('YQ==', '', 'AA==', 'EQUAL', 'VALUE', 'stale', 'tcp://a:1', '9'.repeat(30)),
      fc.integer(),
      fc.double(),
      fc.constantFrom(null, true, false, 1e308, -0),
      fc.array(tie('any'), { maxLength: 4 }),
      tie('object'),
    ),
    object: fc.dictionary(fc.constantFrom(...names), tie('any'), { maxKeys: 5 }),
  })).object

  test('JSON of the right words in the wrong places', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...PATHS), value, async (path, body) => {
        const response = await fetch(`${url}${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN}` },
          body: JSON.stringify(body),
        })
        expect(response.status).not.toBe(500)
        if (path !== '/v3/watch' || response.status !== 200) await response.text()
        else await response.body!.cancel()
      }),
      { numRuns: 600 },
    )
    await isFine()
  }, 120_000)

  test('bodies that are cut, longer or shorter than they say', async () => {
    const text = Buffer.from(JSON.stringify(PUT))
    for (const size of [0, 1, text.length - 1, text.length, text.length + 1, 2 ** 31, 2 ** 53]) {
      const answer = await talk(Buffer.concat([head('/v3/kv/put', size), text]), { quietMs: 300 })
      expect(answer).toMatch(/^$|^HTTP\/1\.1 [24][0-9][0-9] /)
    }
    await isFine()
  })

  test('a request hidden behind another one', async () => {
    const both = 'POST /v3/kv/put HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n'
    const smuggled = `${both}transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n`
    expect(await talk(smuggled)).toMatch(/^HTTP\/1\.1 400 /)
    const twice = 'GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n'
    expect(await talk(twice)).toMatch(/^HTTP\/1\.1 (400|404|421) /)
    await isFine()
  })

  test('nothing of it was an error of the server', () => {
    expect(server.logged.filter(({ level }) => level === 'error')).toEqual([])
  })
})
