/** RESP over a real cluster: every command, the order of a pipeline, bounds, and who is let in. */
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { authOf, createGuessLimit } from '../../src/server/resp/auth.ts'
import { createRespServer } from '../../src/server/resp/server.ts'
import { type KvService, openKvService } from '../../src/server/kv-service.ts'
import { failing, openStore, until } from '../support/engine.ts'
import { type Told, openClient, openResp, openRespServer } from './resp-client.ts'
import { encode } from './resp-words.ts'

/** One connection, top down: what is sent, and what comes back. */
const CONFORMANCE: readonly (readonly [sent: string, told: Told])[] = [
  ['PING', '+PONG'],
  ['ping hello', 'hello'],
  ['PING a b', "-ERR wrong number of arguments for 'ping' command"],
  ['ECHO text', 'text'],
  ['GET k', null],
  ['SET k v', '+OK'],
  ['GET k', 'v'],
  ['SET k w NX', null],
  ['SET n w XX', null],
  ['SET k w XX GET', 'v'],
  ['SET n 1 NX GET', null],
  ['SET n 2 NX GET', '1'],
  ['GET n', '1'],
  ['SET k v EX 10000', '+OK'],
  ['TTL k', 10_000],
  ['SET k w KEEPTTL', '+OK'],
  ['TTL k', 10_000],
  ['SET k w', '+OK'],
  ['TTL k', -1],
  ['PTTL none', -2],
  ['SET k v PX 10000000', '+OK'],
  ['TTL k', 10_000],
  ['EXPIRE k 20000', 1],
  ['TTL k', 20_000],
  ['PEXPIRE none 200', 0],
  ['EXPIRE k -1', 1],
  ['EXISTS k', 0],
  ['EXPIRE k 0', 0],
  ['EXPIRE n 10 NX', "-ERR options of 'expire' are not supported"],
  ['SET k v EX 0', "-ERR invalid expire time in 'set' command"],
  ['SET k v PX 99999999999999', "-ERR invalid expire time in 'set' command"],
  ['SET k v EX x', '-ERR value is not an integer or out of range'],
  ['SET k v EX 1 PX 1', '-ERR syntax error'],
  ['SET k v EX 1 KEEPTTL', '-ERR syntax error'],
  ['SET k v NX XX', '-ERR syntax error'],
  ['SET k v EXAT 1', '-ERR EXAT and PXAT are not supported: time here is that of the log'],
  ['SET k v FOO', '-ERR syntax error'],
  ['INCR n', 2],
  ['INCRBY n 40', 42],
  ['DECR n', 41],
  ['DECRBY n 1', 40],
  ['INCRBY n 1.5', '-ERR value is not an integer or out of range'],
  ['INCRBY n 9223372036854775807', '-ERR increment or decrement would overflow'],
  ['DECRBY n -9223372036854775808', '-ERR decrement would overflow'],
  ['SET s text', '+OK'],
  ['INCR s', '-ERR value is not an integer or out of range'],
  ['MSET a 1 b 2 c 3', '+OK'],
  ['MSET a 1 b', "-ERR wrong number of arguments for 'mset' command"],
  ['MGET a none c', ['1', null, '3']],
  ['EXISTS a a b none', 3],
  ['DBSIZE', 5],
  ['SCAN 0 COUNT 3', ['1', ['a', 'b', 'c']]],
  ['SCAN 1 COUNT 3', ['0', ['n', 's']]],
  ['SCAN 0 MATCH [ab] COUNT 100', ['0', ['a', 'b']]],
  ['SCAN 99', '-ERR invalid cursor: begin again with 0'],
  ['SCAN 0 TYPE string', '-ERR syntax error'],
  ['DEL a', 1],
  ['DEL a b c none', 2],
  ['SELECT 0', '+OK'],
  ['SELECT 1', '-ERR DB index is out of range: there is 0 alone'],
  ['WAIT 1 0', 1],
  ['WAIT 2 100', 1],
  ['WAIT -1 0', '-ERR WAIT takes numbers from 0'],
  ['CLIENT ID', 1],
  ['CLIENT GETNAME', null],
  ['CLIENT SETNAME me', '+OK'],
  ['CLIENT GETNAME', 'me'],
  ['CLIENT SETINFO LIB-NAME x', '+OK'],
  ['CLIENT KILL x', "-ERR 'KILL' of CLIENT is not supported"],
  ['CONFIG GET save', ['save', '']],
  ['CONFIG GET appendonly', ['appendonly', 'yes']],
  ['CONFIG GET none', []],
  ['CONFIG SET save x', "-ERR 'SET' of CONFIG is not supported"],
  ['COMMAND DOCS', []],
  ['COMMAND INFO get none', [['get', 2, ['+readonly'], 1, 1, 1], null]],
  ['HELLO 3', '-NOPROTO unsupported protocol version: this is RESP2'],
  ['AUTH x', '-ERR AUTH is not needed: no secret is configured here'],
  ['LPUSH list x', "-ERR unknown command 'LPUSH'"],
  ['MULTI', "-ERR unknown command 'MULTI'"],
  ['GET', "-ERR wrong number of arguments for 'get' command"],
  ['QUIT', '+OK'],
]

test('every command answers as it is written', async () => {
  const { client } = await openResp()
  for (const [sent, want] of CONFORMANCE) {
    const told = await client.call(...sent.split(' '))
    // What is left of a time is less on a busy machine.
    const isTime = sent.startsWith('TTL') && Number(want) > 0
    if (isTime) expect(Number(want) - Number(told), sent).toBeLessThan(60)
    else expect([sent, told]).toEqual([sent, want])
  }
  await client.closed()
})

test('INFO, HELLO and COMMAND tell what clients look for', async () => {
  const { client } = await openResp()
  await client.call('SET', 'k', 'v', 'EX', '100')
  const info = String(await client.call('INFO'))
  for (const line of ['redis_version:6', 'role:master', 'loading:0', 'connected_clients:1']) {
    expect(info).toContain(line)
  }
  expect(info).toContain('db0:keys=1,expires=1')
  expect(await client.call('INFO', 'replication')).not.toContain('Keyspace')
  const hello = (await client.call('HELLO', '2', 'SETNAME', 'me')) as Told[]
  expect(hello.slice(0, 6)).toEqual(['server', 'redis', 'version', '6.2.0', 'proto', 2])
  expect(await client.call('CLIENT', 'GETNAME')).toBe('me')
  const commands = (await client.call('COMMAND')) as Told[]
  expect(await client.call('COMMAND', 'COUNT')).toBe(commands.length)
})

test('bytes are kept as they are, what is too large is refused with its size', async () => {
  const { client } = await openResp(
    {},
    {
      tuning: {
        batchBytesMax: 2 ** 21,
        windowBytes: 2 ** 22,
        uncommittedBytesMax: 2 ** 24,
        ringSizeBytes: 2 ** 24,
        walSegmentSizeBytes: 2 ** 24,
      },
    },
  )
  const key = Buffer.from([0, 255, 13, 10])
  expect(await client.call('SET', key, 'v')).toBe('+OK')
  expect(await client.call('GET', key)).toBe('v')
  const big = Buffer.alloc(1_500_000, 'x')
  expect(await client.call('SET', 'big', big)).toBe('+OK')
  expect(await client.call('GET', 'big')).toBe(big.toString())
  expect(await client.call('SET', Buffer.alloc(5_000), 'v')).toBe(
    '-ERR key: 5000 bytes, at most 4096',
  )
  expect(await client.call('MGET', 'big', 'big')).toMatch(/^-ERR the answer is beyond/)
  client.socket.write('*1\r\n$1600000\r\n')
  expect(await client.read(1)).toEqual([
    '-ERR Protocol error: an argument of 1600000 bytes, at most 1572864',
  ])
  await client.closed()
})

// ---- Order -----------------------------------------------------------------------------------

test('a pipeline takes effect and is answered in its order, reads among the writes', async () => {
  const { client } = await openResp()
  const commands: string[] = []
  const want: Told[] = []
  for (let i = 0; i < 300; i++) {
    commands.push('GET k', `SET k ${i}`, 'GET k', 'INCR n', `MGET k n`, 'GET k')
    want.push(i === 0 ? null : String(i - 1), '+OK', String(i), i + 1, [String(i), String(i + 1)])
    want.push(String(i))
  }
  expect(await client.pipeline([...commands, 'DBSIZE', 'WAIT 0 0'])).toEqual([...want, 2, 1])
})

test('a pipeline of reads, then a write: the reads do not see it, late as they are', async () => {
  const { cluster } = await openResp()
  const inner = openKvService(cluster)
  onTestFinished(() => inner.close())
  const ask: KvService['ask'] = async (...given) => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    return inner.ask(...given)
  }
  const service = Object.create(inner, { ask: { value: ask } }) as KvService
  const client = await openClient(await openRespServer(cluster, { service }))
  await client.call('SET', 'k', 'old')
  const told = await client.pipeline(['GET k', 'GET k', 'SET k new', 'GET k', 'SET k newer'])
  expect(told).toEqual(['old', 'old', '+OK', 'new', '+OK'])
})

test('what is in one chunk shares entries of the log, and its replies share a write', async () => {
  const { cluster, client } = await openResp()
  const leader = await cluster.leader()
  const before = leader.status().acceptedBatches
  let chunks = 0
  client.socket.on('data', () => (chunks += 1))
  await client.pipeline(Array.from({ length: 60 }, (_, i) => `SET k${i} v`))
  expect(leader.status().acceptedBatches - before).toBeLessThanOrEqual(6)
  expect(chunks).toBeLessThanOrEqual(6)
})

test('half a connection: what was sent is answered, then the server ends it', async () => {
  const { server } = await openResp()
  const client = await openClient(server)
  client.socket.end(Buffer.concat([encode('SET', 'k', 'v'), encode('GET', 'k'), encode('GET')]))
  expect(await client.read(9)).toEqual([
    ...['+OK', 'v', "-ERR wrong number of arguments for 'get' command"],
  ])
  await client.closed()
})

// ---- Bounds ----------------------------------------------------------------------------------

test('at most inflightMax are under way: the rest waits in the socket, none is lost', async () => {
  const { server, cluster } = await openResp({ limits: { inflightMax: 4 } })
  const client = await openClient(server)
  const leader = await cluster.leader()
  let most = 0
  const propose = leader.propose.bind(leader)
  let open = 0
  Object.assign(leader, {
    propose: async (...given: Parameters<typeof propose>) => {
      most = Math.max(most, ++open)
      try {
        return await propose(...given)
      } finally {
        open -= 1
      }
    },
  })
  const told = await client.pipeline(Array.from({ length: 500 }, () => 'INCR n'))
  expect(told).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
  expect(most).toBe(4)
})

test('who does not read its replies is not read from, and is cut in the end', async () => {
  const { server, client } = await openResp({ limits: { outputSizeMaxBytes: 3_000_000 } })
  await client.call('SET', 'k', Buffer.alloc(60_000, 'x'))
  const slow = await openClient(server)
  slow.socket.pause()
  const gets = Buffer.concat(Array.from({ length: 1_000 }, () => encode('GET', 'k')))
  slow.socket.write(gets)
  await until('it is cut', () => server.connections === 1)
  expect(await client.call('PING')).toBe('+PONG')
})

test('bytes under way have a bound for all connections together', async () => {
  const { client } = await openResp({ limits: { queuedSizeMaxBytes: 100 } })
  const value = 'v'.repeat(40)
  const told = await client.pipeline([`SET a ${value}`, `SET b ${value}`, `SET c ${value}`])
  expect(told[0]).toBe('+OK')
  expect(told[2]).toMatch(/^-OVERLOADED .*nothing was written/)
  expect(await client.call('SET', 'c', value)).toBe('+OK')
})

test('too many connections, silent ones and half requests are sent away', async () => {
  const { server, client } = await openResp({
    limits: { connectionsMax: 2, idleTimeoutMs: 60_000, requestTimeoutMs: 1 },
  })
  const second = await openClient(server)
  const third = await openClient(server)
  expect(await third.read(1)).toEqual(['-ERR max number of clients reached'])
  await third.closed()
  second.socket.write('*1\r\n$4\r\nPI')
  await second.closed()
  expect(await client.call('PING')).toBe('+PONG')
})

test('a connection without a byte is ended', async () => {
  const { server } = await openResp({ limits: { idleTimeoutMs: 50 } })
  await (await openClient(server)).closed()
})

// ---- Who is let in ---------------------------------------------------------------------------

test.each([
  'POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\nSET stolen yes\r\n',
  'GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET stolen yes\r\n',
])('a page of somebody else writes nothing: %j', async (bytes) => {
  const { server, client } = await openResp()
  const other = await openClient(server)
  other.socket.write(bytes)
  await other.closed()
  expect(await client.call('GET', 'stolen')).toBeNull()
})

test('without a secret nothing but AUTH, HELLO and QUIT, then what its role may do', async () => {
  const auth = authOf([
    { secret: 'reader', role: 'read' },
    { name: 'ann', secret: 'writer', role: 'write' },
  ])
  const { server, client } = await openResp({ auth })
  const noAuth = '-NOAUTH Authentication required.'
  const script: readonly (readonly [string, Told | RegExp])[] = [
    ['PING', noAuth],
    ['GET k', noAuth],
    ['NONE', noAuth],
    ['HELLO 2', '-NOAUTH HELLO needs AUTH here'],
    ['AUTH wrong', '-WRONGPASS invalid username-password pair'],
    ['AUTH bob writer', '-WRONGPASS invalid username-password pair'],
    ['AUTH writer', '-WRONGPASS invalid username-password pair'],
    ['AUTH reader', '+OK'],
    ['GET k', null],
    ['SET k v', "-NOPERM this secret may not run 'set'"],
    ['AUTH ann writer', '+OK'],
    ['SET k v', '+OK'],
  ]
  for (const [sent, told] of script) {
    expect([sent, await client.call(...sent.split(' '))]).toEqual([sent, told])
  }
  const other = await openClient(server)
  const hello = await other.call('HELLO', '2', 'AUTH', 'ann', 'writer')
  expect(hello).toContain('proto')
  const stranger = await openClient(server)
  stranger.socket.write('*11\r\n')
  expect(await stranger.read(1)).toEqual(['-ERR Protocol error: 11 elements, at most 10'])
  await stranger.closed()
})

test('an address that guesses too often is not listened to for a while', async () => {
  let now = 0
  const limit = createGuessLimit(() => now)
  for (let i = 0; i < 10; i++) limit.failed('a')
  expect([limit.mayTry('a'), limit.mayTry('b')]).toEqual([false, true])
  now = 10_001
  expect(limit.mayTry('a')).toBe(true)

  const { client } = await openResp({ auth: authOf([{ secret: 's', role: 'admin' }]) })
  for (let i = 0; i < 10; i++) await client.call('AUTH', `guess${i}`)
  expect(await client.call('AUTH', 's')).toBe(
    '-ERR too many failed attempts from this address: try again later',
  )
})

test('a host that others reach, wrong limits and a taken port are refused at once', async () => {
  const cluster = await openStore({ layout: 'inline' })
  const service = openKvService(cluster)
  onTestFinished(() => service.close())
  const fails = async (options: object): Promise<string> =>
    String(await failing(createRespServer({ service, port: 0, ...options })))
  expect(await fails({ host: '0.0.0.0', port: -1, limits: { inflightMax: 0, none: 1 } })).toBe(
    'ReplicaError: E_CONFIG_INVALID: port=-1: want 0 to 65535; ' +
      'host=0.0.0.0: others reach it; that needs auth, and allowInsecure; ' +
      'limits.inflightMax=0: want a whole number from 1 to 2147483647; limits.none: no such limit',
  )
  const server = await createRespServer({ service, port: 0 })
  onTestFinished(() => server.close())
  expect(await fails({ port: server.address.port })).toMatch('E_LISTEN')
})

// ---- Failures --------------------------------------------------------------------------------

test('a node that does not lead names who does, and still answers reads', async () => {
  const { cluster, client } = await openResp()
  const leader = await cluster.leader()
  await client.call('SET', 'k', 'v')
  const service = openKvService(cluster.nodes.find((node) => node !== leader)!)
  const server = await createRespServer({ service, port: 0, consistency: 'session' })
  onTestFinished(async () => {
    await server.close()
    service.close()
  })
  const other = await openClient(server)
  expect(await other.call('GET', 'k')).toBe('v')
  expect(await other.pipeline(['SET k w', 'GET k', 'GET k'])).toEqual([
    `-NOTLEADER ${leader.id} node ${leader.id} leads; nothing was written`,
    ...['v', 'v'],
  ])
})

test('a write whose fate nobody knows says so', async () => {
  const { cluster, client } = await openResp({}, {})
  const leader = await cluster.leader()
  const others = cluster.nodes.filter((node) => node !== leader)
  await Promise.all(others.map((node) => node.kill()))
  const told = client.call('SET', 'k', 'v')
  await until('it is proposed', () => leader.status().last > leader.status().chosen)
  await leader.kill()
  expect(await told).toMatch(/^-UNKNOWN it may or may not have been written/)
  expect(await client.call('SET', 'k', 'v')).toMatch(/^-(NOTLEADER|UNAVAILABLE)/)
})

test('close answers what is under way, and takes nothing more', async () => {
  const { server, client } = await openResp()
  const told = client.pipeline(Array.from({ length: 50 }, (_, i) => `SET k${i} v`))
  await until('it is read', () => client.socket.bytesWritten > 0)
  await new Promise((resolve) => setTimeout(resolve, 5))
  await server.close()
  const replies = await told
  expect(replies.every((one) => one === '+OK')).toBe(true)
  const late = connect(server.address)
  await new Promise((resolve) => late.once('error', resolve))
})

test('noise on a socket never ends the server', async () => {
  const { server, client } = await openResp()
  for (const bytes of ['*3\r\n$3\r\nSET\r\n', '\0\xff\xfe', '$5\r\nhello\r\n', '*99999999\r\n']) {
    const other = await openClient(server)
    other.socket.write(Buffer.from(bytes, 'latin1'))
    other.socket.end()
    await other.closed()
  }
  expect(await client.call('PING')).toBe('+PONG')
})
