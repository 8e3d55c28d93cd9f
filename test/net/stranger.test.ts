/** What a stranger or a broken peer may send: raw sockets against a hub, from seeds. */
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeWireHeader, writeWireWords } from '../../src/codec/cell.ts'
import { nextRandom } from '../../src/net/delay.ts'
import {
  clusterHashOf,
  decodeHandshake,
  encodeHandshake,
  type Handshake,
  HELLO,
  WELCOME,
} from '../../src/net/handshake.ts'
import type { TcpHubOptions } from '../../src/net/tcp-link.ts'
import {
  eventOf,
  kindsOf,
  messageOf,
  openNode,
  take,
  takeAtLeast,
  type TestNode,
  until,
} from './support.ts'

let node: TestNode
const open = async (more: Partial<TcpHubOptions> = {}) => {
  node = await openNode(2, { id: 1, port: 1 }, { idleTimeoutMs: 1e9, ...more })
}
beforeEach(() => open())
afterEach(() => node.hub.close())

const hello = (more: Partial<Handshake> = {}): Uint8Array =>
  encodeHandshake({
    kind: HELLO,
    from: 1,
    to: 2,
    cluster: clusterHashOf('test'),
    session: 1,
    incarnation: 1,
    nonce: 5,
    history: 0,
    durability: 0,
    ...more,
  })

interface Raw {
  readonly socket: Socket
  readonly received: () => Buffer
  readonly closed: Promise<void>
}

function raw(): Promise<Raw> {
  const socket = connect(node.hub.address.port, '127.0.0.1')
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk) => (bytes = Buffer.concat([bytes, chunk])))
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  return new Promise((resolve) => {
    socket.on('connect', () => resolve({ socket, received: () => bytes, closed }))
  })
}

function wireMessage(i: number, size: number, session: number, from = 1, kind = 7): Uint8Array {
  const { words, payload } = messageOf(i, from, size)
  words[0] = kind
  writeWireWords(words, 0, session, 0)
  const bytes = new Uint8Array(136 + size)
  encodeWireHeader(bytes, new DataView(bytes.buffer), 0, words, 0)
  if (payload !== null) bytes.set(payload, 136)
  return bytes
}

test('a hello is answered by a welcome, and messages flow in any chunks', async () => {
  const { socket, received } = await raw()
  for (const byte of hello({ session: 9, incarnation: 3, nonce: 8 }))
    socket.write(new Uint8Array([byte]))
  const [up] = await takeAtLeast(node, 1)
  expect(up?.words.slice(0, 10)).toEqual([240, 1, 0, 0, 0, 0, up?.words[6], 9, 3, 8])
  await until(() => received().length === 136)
  const welcome = decodeHandshake(received(), WELCOME)
  expect(welcome).toMatchObject({ from: 2, to: 1, session: 9, nonce: 1002 })
  const state = { random: 5 }
  const stream = Buffer.concat([0, 128, 640, 0, 4096].map((size, i) => wireMessage(i, size, 9)))
  for (let at = 0; at < stream.length;) {
    const next = at + 1 + Math.floor(nextRandom(state) * 200)
    socket.write(stream.subarray(at, next))
    at = next
    await new Promise((done) => setImmediate(done))
  }
  expect(kindsOf(await takeAtLeast(node, 5))).toEqual(['0', '1', '2', '3', '4'])
  socket.destroy()
})

const flipped = (bytes: Uint8Array, bit: number): Uint8Array => {
  const copy = bytes.slice()
  copy[bit >> 3]! ^= 1 << (bit & 7)
  return copy
}

const BAD_HELLOS: readonly (readonly [reason: string, bytes: () => Uint8Array])[] = [
  ['handshake-invalid', () => new Uint8Array(136)],
  ['handshake-invalid', () => new TextEncoder().encode('GET / HTTP/1.1\r\n'.repeat(20))],
  ['handshake-invalid', () => flipped(hello(), 300)],
  ['handshake-invalid', () => Buffer.concat([hello(), new Uint8Array(1)])],
  ['handshake-invalid', () => hello({ kind: WELCOME })],
  ['handshake-invalid', () => hello({ session: 2 ** 50 })],
  ['handshake-invalid', () => hello({ session: 2 ** 48 - 1 })],
  ['handshake-invalid', () => wireMessage(1, 0, 1)],
  ['cluster', () => hello({ cluster: 3 })],
  ['unknown-peer', () => hello({ from: 7 })],
  ['wrong-target', () => hello({ to: 3 })],
]

test.each(BAD_HELLOS)('a handshake is refused: %s', async (reason, bytes) => {
  const { socket, closed, received } = await raw()
  socket.write(bytes())
  await closed
  expect(await eventOf(node, 'refused')).toMatchObject({ reason })
  expect([received().length, take(node.inbox).length, node.hub.counters.refused]).toEqual([0, 0, 1])
})

test('another protocol version is refused by name', async () => {
  const bytes = Buffer.from(hello())
  const { socket, closed } = await raw()
  bytes.writeDoubleLE(2, 8 + 4 * 8)
  const { crc32 } = await import('node:zlib')
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4)
  socket.write(bytes)
  await closed
  expect(await eventOf(node, 'refused')).toMatchObject({ reason: 'version' })
})

test('the higher id may not dial', async () => {
  await node.hub.close()
  node = await openNode(1, { id: 2, port: 1 }, { idleTimeoutMs: 1e9 })
  const { socket, closed } = await raw()
  socket.write(hello({ from: 2, to: 1 }))
  await closed
  expect(await eventOf(node, 'refused')).toMatchObject({ reason: 'direction', from: 2 })
})

test('the newest handshake of a process wins; an older one is refused', async () => {
  const first = await raw()
  first.socket.write(hello({ session: 5 }))
  await takeAtLeast(node, 1)
  const stale = await raw()
  stale.socket.write(hello({ session: 5 }))
  await stale.closed
  expect(await eventOf(node, 'refused')).toMatchObject({ reason: 'stale-session' })
  first.socket.write(wireMessage(1, 128, 5))
  expect(kindsOf(await takeAtLeast(node, 1))).toEqual(['1'])
  const newer = await raw()
  first.socket.write(wireMessage(2, 4096, 5).subarray(0, 1000)) // never completed
  newer.socket.write(hello({ session: 6 }))
  await first.closed
  expect(kindsOf(await takeAtLeast(node, 2))).toEqual(['down 5', 'up 6'])
  newer.socket.write(wireMessage(3, 4096, 6))
  expect(kindsOf(await takeAtLeast(node, 1))).toEqual(['3'])
  const restarted = await raw() // another process starts counting anew; the number still rises
  restarted.socket.write(hello({ session: 1, nonce: 6 }))
  expect(kindsOf(await takeAtLeast(node, 2))).toEqual(['down 6', 'up 7'])
  restarted.socket.destroy()
})

const BAD_MESSAGES: readonly (readonly [problem: string, bytes: () => Uint8Array])[] = [
  ['magic', () => new Uint8Array(136)],
  ['crc', () => flipped(wireMessage(1, 128, 1), 400)],
  ['from', () => wireMessage(1, 128, 1, 3)],
  ['session', () => wireMessage(1, 128, 2)],
  ['kind', () => wireMessage(1, 0, 1, 1, 240)],
  ['large', () => wireMessage(1, 1 << 20, 1).subarray(0, 136)],
  ['size', () => oversized()],
]

/** A header with a true checksum that promises more than any message may have. */
function oversized(): Uint8Array {
  const bytes = Buffer.from(wireMessage(1, 0, 1))
  bytes.writeDoubleLE(2 ** 40, 8 + 16)
  bytes.writeUInt32LE(crcOf(bytes), 4)
  return bytes
}

function crcOf(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes.subarray(8, 136)) {
    crc ^= byte
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

test.each(BAD_MESSAGES)('a bad header ends the session: %s', async (problem, bytes) => {
  const { socket, closed } = await raw()
  socket.write(hello())
  await takeAtLeast(node, 1)
  socket.write(Buffer.concat([wireMessage(0, 128, 1), bytes()]))
  await closed
  expect(await eventOf(node, 'frame-invalid')).toMatchObject({ peer: 1, problem })
  expect(kindsOf(await takeAtLeast(node, 2))).toEqual(['0', 'down 1'])
  expect(node.hub.counters.framesInvalid).toBe(1)
})

test('half a frame, then silence: cut by the idle time-out', async () => {
  await node.hub.close()
  await open({ idleTimeoutMs: 30 })
  const { socket, closed } = await raw()
  socket.write(hello())
  expect(kindsOf(await takeAtLeast(node, 1))).toEqual(['up 1'])
  socket.write(wireMessage(0, 4096, 1).subarray(0, 2000))
  await closed
  expect(kindsOf(await takeAtLeast(node, 1))).toEqual(['down 1'])
  expect(await eventOf(node, 'down')).toMatchObject({ reason: 'idle' })
})

test('half a handshake, then silence: refused by the same time-out', async () => {
  await node.hub.close()
  await open({ idleTimeoutMs: 30 })
  const { socket, closed } = await raw()
  socket.write(hello().subarray(0, 100))
  await closed
  expect(await eventOf(node, 'refused')).toMatchObject({ reason: 'handshake-timeout' })
})

test('many strangers at once are bounded', async () => {
  const all = await Promise.all(Array.from({ length: 80 }, () => raw()))
  await until(() => node.hub.counters.refused >= 16)
  expect(await eventOf(node, 'refused')).toMatchObject({ reason: 'too-many' })
  for (const { socket } of all) socket.destroy()
})

test('seeded garbage ends only its own connection', async () => {
  const good = await raw()
  good.socket.write(hello())
  await takeAtLeast(node, 1)
  const state = { random: 20_26 }
  for (let round = 0; round < 150; round++) {
    const { socket, closed } = await raw()
    socket.write(garbage(state))
    socket.end()
    await closed
    if (round % 10 !== 0) continue
    good.socket.write(wireMessage(round, 640, 1))
    expect(kindsOf(await takeAtLeast(node, 1)), `seed 2026, round ${round}`).toEqual([`${round}`])
  }
  expect(node.events.filter(({ kind }) => kind === 'down')).toEqual([])
  good.socket.destroy()
})

test('seeded damage inside a session ends it, and never shows up as a message', async () => {
  const state = { random: 77 }
  for (let session = 1; session <= 100; session++) {
    const { socket, closed } = await raw()
    socket.write(hello({ session }))
    await eventOf(node, 'up', session)
    const stream = Buffer.concat([0, 1, 2].map((i) => wireMessage(i, 128, session)))
    const at = Math.floor(nextRandom(state) * 3)
    const bit = at * 264 * 8 + Math.floor(nextRandom(state) * 136 * 8)
    socket.write(flipped(stream, bit))
    await closed
    const seen = kindsOf(await takeAtLeast(node, at + 2))
    const whole = ['0', '1', '2'].slice(0, at)
    expect(seen, `seed 77`).toEqual([`up ${session}`, ...whole, `down ${session}`])
  }
  expect(node.hub.counters.framesInvalid).toBe(100)
})

/** Random bytes, a damaged hello, a part of one, or a hello with something behind it. */
function garbage(state: { random: number }): Uint8Array {
  const random = (below: number) => Math.floor(nextRandom(state) * below)
  const shape = random(4)
  if (shape === 0) return Uint8Array.from({ length: 1 + random(2000) }, () => random(256))
  if (shape === 1) return flipped(hello({ session: 2 ** 40 }), random(136 * 8))
  if (shape === 2) return hello({ session: 2 ** 40 }).subarray(0, random(136))
  return Buffer.concat([hello({ session: 2 ** 40 }), new Uint8Array(1 + random(300))])
}
