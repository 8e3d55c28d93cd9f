/** TCP links over loopback: exactness, back-pressure, sessions, tickets, refusals. */
import { afterEach, expect, test } from 'vitest'
import { hasCode } from '../../src/base/errors.ts'
import { nextRandom } from '../../src/net/delay.ts'
import { openTcpHub } from '../../src/net/tcp-link.ts'
import {
  eventOf,
  inboxOf,
  kindsOf,
  messageOf,
  openNode,
  openPair,
  payloadOf,
  sizeOf,
  take,
  takeAtLeast,
  type TestNode,
  until,
} from './support.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function pair(...options: Parameters<typeof openPair>) {
  const made = await openPair(...options)
  closers.push(made.close)
  return made
}

/** Sends messages first..through with sizes from the seed; yields when the link is full. */
async function sendAll(node: TestNode, to: number, from: number, sizes: readonly number[]) {
  const link = node.hub.linkTo(to)
  for (const [i, size] of sizes.entries()) {
    const { words, payload } = messageOf(i, from, size)
    while (!link.send(words, 0, payload, i + 1)) await new Promise((done) => setImmediate(done))
  }
}

const sizesOf = (seed: number, count: number, max: number): number[] => {
  const state = { random: seed }
  return Array.from({ length: count }, () => sizeOf(state, max))
}

async function receiveAll(node: TestNode, from: number, sizes: readonly number[]) {
  let wrong = 0
  for (const [i, size] of sizes.entries()) {
    const [message] = await takeAtLeast(node, 1)
    const { words, payload } = message!
    const isRight = words[0] === 7 && words[1] === from && words[2] === size && words[7] === i
    const isWhole = words[8] === -1 && words[9] === 2 ** 53 - 1
    const isSame = size === 0 || Buffer.compare(payload, payloadOf(i, size)) === 0
    if (!isRight || !isWhole || !isSame) wrong++
  }
  return wrong
}

test('10,000 messages of random sizes arrive both ways, byte exact and in order', async () => {
  const { one, two } = await pair()
  const there = sizesOf(1, 10_000, 16_384)
  const back = sizesOf(2, 10_000, 16_384)
  const wrong = await Promise.all([
    receiveAll(two, 1, there),
    receiveAll(one, 2, back),
    sendAll(one, 2, 1, there),
    sendAll(two, 1, 2, back),
  ])
  expect(wrong.slice(0, 2)).toEqual([0, 0])
  await until(() => one.hub.linkTo(2).sentTicket === 10_000)
  expect(two.hub.counters.messagesReceived).toBe(10_000)
})

test('a payload of the greatest size passes, though the send bound is smaller', async () => {
  const { one, two } = await pair({ sendBufferBytesMax: 65_536 }, {}, inboxOf(16, 1 << 25))
  const size = 8 * 1024 * 1024 + 64
  await sendAll(one, 2, 1, [size])
  expect(await receiveAll(two, 1, [size])).toBe(0)
})

test('a slow consumer stops the sender at its bound, and loses nothing', async () => {
  const sendBufferBytesMax = 1 << 20
  const { one, two } = await pair({ sendBufferBytesMax }, {}, inboxOf(64, 1 << 19))
  const link = one.hub.linkTo(2)
  const { words, payload } = messageOf(0, 1, 32_768)
  let ticket = 0
  const fill = () => {
    words[7] = ticket
    while (link.send(words, 0, payload, ticket + 1)) words[7] = ++ticket
  }
  let before = -1
  while (ticket !== before || two.hub.counters.pauses === 0) {
    before = ticket
    fill()
    for (let i = 0; i < 50; i++) await new Promise((done) => setImmediate(done))
  }
  const outstanding = (ticket - link.sentTicket) * 32_904
  expect(outstanding).toBeLessThanOrEqual(sendBufferBytesMax)
  expect(two.inbox.log.capacityBytes / 32_768).toBeGreaterThanOrEqual(
    two.hub.counters.messagesReceived,
  )
  const order = (await takeAtLeast(two, ticket)).map((message) => message.words[7])
  expect(order).toEqual(Array.from({ length: ticket }, (_, i) => i))
  await until(() => link.sentTicket === ticket)
  expect(link.send(words, 0, payload, ticket + 1)).toBe(true)
})

test('after a broken connection the old session ends before the new one begins', async () => {
  const { one, two } = await pair({}, { idleTimeoutMs: 1e9 })
  const link = one.hub.linkTo(2)
  const { words, payload } = messageOf(5, 1, 128)
  link.send(words, 0, payload, 1)
  expect(kindsOf(await takeAtLeast(two, 1))).toEqual(['5'])
  words[1] = 9 // not the sender's id: frame-invalid at the receiver
  link.send(words, 0, payload, 2)
  expect(kindsOf(await takeAtLeast(two, 2))).toEqual(['down 1', 'up 2'])
  expect(kindsOf(await takeAtLeast(one, 2))).toEqual(['down 1', 'up 2'])
  expect((await eventOf(two, 'frame-invalid')).problem).toBe('from')
  words[1] = 1
  words[7] = 6
  expect(link.session).toBe(2)
  link.send(words, 0, payload, 3)
  expect(kindsOf(await takeAtLeast(two, 1))).toEqual(['6'])
})

test('with a full inbox, nothing of a session passes its link-down', async () => {
  const { one, two } = await pair({}, {}, inboxOf(4, 1 << 16))
  const link = one.hub.linkTo(2)
  const { words } = messageOf(0, 1, 0)
  for (let i = 0; i < 10; i++) {
    words[7] = i
    link.send(words, 0, null, i + 1)
  }
  await until(() => two.hub.counters.pauses > 0) // 0..3 in the inbox, the rest held
  // Node 1 dies and comes back as another process while the inbox is still full.
  await one.hub.close()
  const next = await openNode(1, { id: 2, port: two.hub.address.port }, { nonce: 77 })
  closers.push(() => next.hub.close())
  await Promise.all([eventOf(two, 'up', 2), eventOf(next, 'up')])
  words[7] = 100
  next.hub.linkTo(2).send(words, 0, null, 1)
  const seen = kindsOf(await takeAtLeast(two, 7))
  expect(seen).toEqual(['0', '1', '2', '3', 'down 1', 'up 2', '100'])
})

test('a session that nobody saw come up leaves no trace', async () => {
  const { one, two } = await pair({}, {}, inboxOf(2, 1 << 16))
  const { words } = messageOf(0, 1, 0)
  one.hub.linkTo(2).send(words, 0, null, 1)
  one.hub.linkTo(2).send(words, 0, null, 2)
  await until(() => two.hub.counters.messagesReceived === 2) // the inbox is full
  words[1] = 9
  one.hub.linkTo(2).send(words, 0, null, 3) // session 1 ends here
  await eventOf(two, 'up', 2)
  await one.hub.close()
  await eventOf(two, 'down', 2)
  expect(kindsOf(take(two.inbox))).toEqual(['0', '0'])
  expect(kindsOf(await takeAtLeast(two, 1))).toEqual(['down 1'])
})

test('tickets of a destroyed socket count as sent only when it is closed', async () => {
  const { one, two } = await pair({}, {}, inboxOf(2, 1 << 17))
  const link = one.hub.linkTo(2)
  const { words, payload } = messageOf(0, 1, 65_536)
  let ticket = 0
  while (link.send(words, 0, payload, ticket + 1)) ticket++ // no turn of the loop: none is done
  expect(link.sentTicket).toBe(0)
  link.close()
  expect(link.up).toBe(false)
  expect(link.sentTicket).toBe(0)
  expect(link.send(words, 0, payload, ++ticket)).toBe(true) // dropped, but behind held bytes
  expect(link.sentTicket).toBe(0)
  await new Promise((done) => setImmediate(done))
  await until(() => link.sentTicket === ticket)
  expect(link.send(words, 0, payload, ++ticket)).toBe(true)
  expect(link.sentTicket).toBe(ticket)
  await takeAtLeast(two, 2) // who does not read does not hear of the end
  await until(() => take(two.inbox).length >= 0 && two.events.at(-1)?.kind === 'down')
  expect(one.events).toContainEqual({ kind: 'down', peer: 2, session: 1, reason: 'local' })
})

test('a node of another history of the cluster is refused, and both sides are told', async () => {
  const two = await openNode(2, { id: 1, port: 1 }, { history: 65_538 })
  const { port } = two.hub.address
  const one = await openNode(1, { id: 2, port })
  closers.push(() => Promise.all([one.hub.close(), two.hub.close()]))
  expect(await eventOf(two, 'refused', 2)).toEqual({ kind: 'refused', reason: 'history', from: 1 })
  expect(await eventOf(one, 'refused', 2)).toEqual({ kind: 'refused', reason: 'history', from: 2 })
  expect([take(one.inbox), take(two.inbox)]).toEqual([[], []])
})

test('a node of another durability is refused, and both sides are told', async () => {
  const two = await openNode(2, { id: 1, port: 1 }, { durability: 2 })
  const { port } = two.hub.address
  const one = await openNode(1, { id: 2, port })
  closers.push(() => Promise.all([one.hub.close(), two.hub.close()]))
  const reason = 'durability'
  expect(await eventOf(two, 'refused', 2)).toEqual({ kind: 'refused', reason, from: 1 })
  expect(await eventOf(one, 'refused', 2)).toEqual({ kind: 'refused', reason, from: 2 })
  expect([take(one.inbox), take(two.inbox)]).toEqual([[], []])
})

test('where nothing is kept another process under the same id is refused', async () => {
  const forgets = true
  const two = await openNode(2, { id: 1, port: 1 }, { forgets, nonce: 22 })
  const { port } = two.hub.address
  const one = await openNode(1, { id: 2, port }, { forgets, nonce: 11 })
  closers.push(() => two.hub.close())
  await until(() => two.hub.linkTo(1).up && one.hub.linkTo(2).up)
  await one.hub.close()
  const again = await openNode(1, { id: 2, port }, { forgets, nonce: 11 })
  await until(() => again.hub.linkTo(2).up)
  await again.hub.close()
  const other = await openNode(1, { id: 2, port }, { forgets, nonce: 12 })
  closers.push(() => other.hub.close())
  const reason = 'lost-disk'
  expect(await eventOf(two, 'refused', 2)).toEqual({ kind: 'refused', reason, from: 1 })
  expect(two.hub.linkTo(1).up).toBe(false)
})

test('where the disk keeps it, a process that was started again is welcome', async () => {
  const two = await openNode(2, { id: 1, port: 1 })
  const { port } = two.hub.address
  const one = await openNode(1, { id: 2, port }, { nonce: 11 })
  await until(() => two.hub.linkTo(1).up)
  await one.hub.close()
  const again = await openNode(1, { id: 2, port }, { nonce: 12 })
  closers.push(() => Promise.all([again.hub.close(), two.hub.close()]))
  await until(() => again.hub.linkTo(2).up && two.hub.linkTo(1).up)
})

test('another cluster is refused, and the dialer keeps trying', async () => {
  const two = await openNode(2, { id: 1, port: 1 })
  const port = two.hub.address.port
  const one = await openNode(1, { id: 2, port }, { clusterId: 'foreign' })
  closers.push(() => Promise.all([one.hub.close(), two.hub.close()]))
  expect(await eventOf(two, 'refused', 2)).toEqual({ kind: 'refused', reason: 'cluster', from: 1 })
  expect((await eventOf(one, 'dial-failed')).peer).toBe(2)
  expect(two.hub.counters.refused).toBeGreaterThanOrEqual(2)
  expect(take(two.inbox)).toEqual([])
  expect(one.hub.linkTo(2).up).toBe(false)
})

test('a dialer that looks for another node is refused', async () => {
  const two = await openNode(2, { id: 1, port: 1 })
  const one = await openNode(3, { id: 4, port: two.hub.address.port })
  closers.push(() => Promise.all([one.hub.close(), two.hub.close()]))
  const { reason } = await eventOf(two, 'refused')
  expect(reason).toBe('wrong-target')
})

test('a peer that falls silent is cut after the idle time-out', async () => {
  const { one, two } = await pair({ idleTimeoutMs: 1e9 }, { idleTimeoutMs: 20 })
  expect(await eventOf(two, 'down')).toMatchObject({ reason: 'idle', session: 1 })
  expect(await eventOf(one, 'down')).toMatchObject({ session: 1 })
  expect(two.hub.counters.idles).toBe(1)
})

test('the silence of a blocked thread is not taken for silence of the peer', async () => {
  let now = 0
  const clock = { now: () => now, idleTimeoutMs: 1000 }
  const { one, two } = await pair(clock, clock)
  now = 5000 // nobody ran meanwhile
  one.hub.doWork()
  two.hub.doWork()
  expect([one.hub.counters.idles, two.hub.counters.idles]).toEqual([0, 0])
  for (; now <= 6100; now += 100) two.hub.doWork()
  expect([one.hub.counters.idles, two.hub.counters.idles]).toEqual([0, 1])
})

test('a dead port is dialed again with growing pauses, by an injected clock', async () => {
  let now = 0
  const probe = await openNode(2, { id: 1, port: 1 })
  const { port } = probe.hub.address
  await probe.hub.close()
  const options = { now: () => now, reconnectMinMs: 100, reconnectMaxMs: 800, idleTimeoutMs: 1e9 }
  const one = await openNode(1, { id: 2, port }, options)
  closers.push(() => one.hub.close())
  const pauses: number[] = []
  for (let nth = 1; nth <= 6; nth++) {
    expect((await eventOf(one, 'dial-failed', nth)).reason).toBe('ECONNREFUSED')
    const failedAt = now
    while (one.hub.doWork() === 0) now++
    pauses.push(now - failedAt)
  }
  pauses.forEach((pause, i) => {
    const top = Math.min(800, 100 * 2 ** i)
    expect(pause).toBeGreaterThanOrEqual(top / 2)
    expect(pause).toBeLessThanOrEqual(top)
  })
})

test('a busy port is E_LISTEN', async () => {
  const two = await openNode(2, { id: 1, port: 1 })
  closers.push(() => two.hub.close())
  const { port } = two.hub.address
  const opening = openTcpHub({
    self: 3,
    listenHost: '127.0.0.1',
    listenPort: port,
    peers: [],
    clusterId: 1,
    incarnation: 1,
    nonce: 1,
    inboxes: new Map(),
  })
  const error: unknown = await opening.catch((reason: unknown) => reason)
  expect(hasCode(error, 'E_LISTEN') && error.detail).toEqual({ port, errno: 'EADDRINUSE' })
})

test('random breaks never mix sessions', async () => {
  const { one, two } = await pair({}, {}, inboxOf(8, 1 << 18))
  const link = one.hub.linkTo(2)
  const state = { random: 42 }
  let ticket = 0
  const seen: string[] = []
  while (link.session < 12) {
    const { words, payload } = messageOf(link.session, 1, sizeOf(state, 32_768))
    if (nextRandom(state) < 0.02) words[1] = 9
    if (link.up && link.send(words, 0, payload, ticket + 1)) ticket++
    if (nextRandom(state) < 0.3) seen.push(...kindsOf(take(two.inbox, 5)))
    if (nextRandom(state) < 0.5) await new Promise((done) => setImmediate(done))
  }
  await until(() => {
    seen.push(...kindsOf(take(two.inbox)))
    return seen.includes('up 12')
  })
  let session = 1
  for (const one of seen) {
    if (one.startsWith('up')) session = Number(one.slice(3))
    else expect(one, `seed 42`).toMatch(new RegExp(`^(down )?${session}$`))
  }
})
