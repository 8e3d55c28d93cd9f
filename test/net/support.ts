/** Helpers of the link tests: messages made from a seed, inboxes read back, waiting for events. */
import { expect } from 'vitest'
import { available, cellBase, consume } from '../../src/ring/cell-ring.ts'
import { release } from '../../src/ring/log-ring.ts'
import { nextRandom } from '../../src/net/delay.ts'
import { type Inbox, inboxMemory, openInbox } from '../../src/net/inbox.ts'
import type { LinkEvent } from '../../src/net/link.ts'
import { openTcpHub, type TcpHub, type TcpHubOptions } from '../../src/net/tcp-link.ts'

export interface Received {
  readonly words: readonly number[]
  readonly payload: Uint8Array
}

/** Message `i`: kind 7, field 7 = i, payload of `size` bytes that name i and the position. */
export function messageOf(i: number, from: number, size: number) {
  const words = new Float64Array(16)
  words.set([7, from, size, size >= 128 ? 1 : 0, 0, 0, 0, i, -1, 2 ** 53 - 1])
  const payload = size === 0 ? null : payloadOf(i, size)
  return { words, payload }
}

export function payloadOf(i: number, size: number): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(size))
  const state = { random: i }
  new Uint32Array(bytes.buffer).forEach((_, at, all) => {
    all[at] = nextRandom(state) * 2 ** 32
  })
  return bytes
}

/** Sizes a message may have: multiples of 64, mostly small, some none. */
export function sizeOf(state: { random: number }, max: number): number {
  const shape = nextRandom(state)
  if (shape < 0.2) return 0
  return 64 * Math.ceil((nextRandom(state) * (shape < 0.9 ? Math.min(max, 4096) : max)) / 64)
}

export const inboxOf = (cells = 256, logBytes = 1 << 20): Inbox =>
  openInbox(inboxMemory(cells, logBytes))

/** Takes up to `max` cells with copies of their payloads, and frees them. */
export function take(inbox: Inbox, max = Infinity): Received[] {
  const taken: Received[] = []
  while (taken.length < max) {
    const count = Math.min(available(inbox.cells), max - taken.length)
    if (count === 0) break
    for (let i = 0; i < count; i++) {
      const base = cellBase(inbox.cells, i)
      const words = [...inbox.cells.words.subarray(base, base + 16)]
      const [, , size, , end, offset] = words as [number, number, number, number, number, number]
      taken.push({ words, payload: inbox.log.bytes.slice(offset, offset + size) })
      if (size > 0) release(inbox.log, end)
    }
    consume(inbox.cells, count)
  }
  return taken
}

export const kindsOf = (received: readonly Received[]): string[] =>
  received.map(({ words }) => {
    if (words[0] === 240) return `up ${words[7]!}`
    return words[0] === 241 ? `down ${words[7]!}` : `${words[7]!}`
  })

export interface TestNode {
  readonly hub: TcpHub
  readonly inbox: Inbox
  readonly events: LinkEvent[]
  /** Resolves at the next delivery or event, whichever comes first. */
  next(): Promise<void>
}

export async function openNode(
  self: number,
  peer: { id: number; port: number },
  more: Partial<TcpHubOptions> = {},
  inbox = inboxOf(),
): Promise<TestNode> {
  const events: LinkEvent[] = []
  let wakes: (() => void)[] = []
  const wake = () => {
    for (const one of wakes.splice(0)) one()
  }
  const hub = await openTcpHub({
    self,
    listenHost: '127.0.0.1',
    listenPort: 0,
    peers: [{ ...peer, host: '127.0.0.1' }],
    clusterId: 'test',
    incarnation: 1,
    nonce: 1000 + self,
    inboxes: new Map([[peer.id, inbox]]),
    reconnectMinMs: 5,
    reconnectMaxMs: 20,
    timerMs: 2,
    onEvent: (event) => {
      events.push(event)
      wake()
    },
    onDelivered: wake,
    ...more,
  })
  const next = () => new Promise<void>((resolve) => (wakes = [...wakes, resolve]))
  return { hub, inbox, events, next }
}

/** Node 1 dials node 2; both up, and their link-up cells taken. */
export async function openPair(
  more1: Partial<TcpHubOptions> = {},
  more2: Partial<TcpHubOptions> = {},
  inbox2 = inboxOf(),
) {
  const two = await openNode(2, { id: 1, port: 1 }, more2, inbox2)
  const one = await openNode(1, { id: 2, port: two.hub.address.port }, more1)
  const ups = [await takeAtLeast(one, 1), await takeAtLeast(two, 1)]
  expect(ups.map(kindsOf)).toEqual([['up 1'], ['up 1']])
  return { one, two, close: () => Promise.all([one.hub.close(), two.hub.close()]) }
}

export async function takeAtLeast(node: TestNode, count: number): Promise<Received[]> {
  const taken: Received[] = []
  for (;;) {
    const next = node.next()
    taken.push(...take(node.inbox, count - taken.length))
    if (taken.length >= count) return taken
    await next
  }
}

/** Waits until an event of this kind has come. */
export async function eventOf<Kind extends LinkEvent['kind']>(node: TestNode, kind: Kind, nth = 1) {
  for (;;) {
    const next = node.next()
    const found = node.events.filter((event) => event.kind === kind)
    if (found.length >= nth) return found[nth - 1] as Extract<LinkEvent, { kind: Kind }>
    await next
  }
}

/** Turns of the event loop until `condition` holds. The test's time-out is the bound. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1))
}
