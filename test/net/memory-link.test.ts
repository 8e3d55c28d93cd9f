/** Inbox and memory link: copies, order, refusals at the bound, control cells. */
import { expect, test } from 'vitest'
import { deliver, payloadMaxOf } from '../../src/net/inbox.ts'
import { openMemoryLink } from '../../src/net/memory-link.ts'
import { inboxOf, kindsOf, messageOf, payloadOf, sizeOf, take } from './support.ts'

function open(inbox = inboxOf()) {
  const calls = { now: 0, delivered: 0 }
  const link = openMemoryLink({
    from: 3,
    incarnation: 4,
    nonce: 55,
    inbox,
    now: () => ++calls.now,
    onDelivered: () => calls.delivered++,
  })
  return { inbox, link, calls }
}

test('the first cell is link-up with session, incarnation and nonce', () => {
  const { inbox, link } = open()
  expect(take(inbox)[0]?.words).toEqual([240, 3, 0, 0, 0, 0, 1, 1, 4, 55, 0, 0, 0, 0, 0, 0])
  expect([link.up, link.session, link.sentTicket]).toEqual([true, 1, 0])
})

test('a message arrives with its own copy of the payload, stamped', () => {
  const { inbox, link, calls } = open()
  take(inbox)
  const { words, payload } = messageOf(9, 3, 192)
  calls.now = 100
  expect(link.send(words, 0, payload, 1)).toBe(true)
  payload!.fill(0)
  const [message] = take(inbox)
  expect(message?.words.slice(0, 8)).toEqual([7, 3, 192, 1, 3, 0, 101, 9])
  expect(message?.payload).toEqual(new Uint8Array(payloadOf(9, 192)))
  expect(link.sentTicket).toBe(1)
})

test('10,000 random messages through a small inbox: in order, exact, refused when full', () => {
  const { inbox, link } = open(inboxOf(16, 1 << 15))
  take(inbox)
  const state = { random: 11 }
  const sizes = Array.from({ length: 10_000 }, () => sizeOf(state, 16_384))
  let received = 0
  let refusals = 0
  const check = () => {
    for (const { words, payload } of take(inbox, 1 + (received % 7))) {
      const size = sizes[received]!
      if (words[7] !== received || words[2] !== size) throw new Error(`message ${received}`)
      if (size > 0 && Buffer.compare(payload, payloadOf(received, size)) !== 0)
        throw new Error(`bytes of ${received}`)
      received++
    }
  }
  sizes.forEach((size, i) => {
    const { words, payload } = messageOf(i, 3, size)
    while (!link.send(words, 0, payload, i + 1)) {
      expect(link.sentTicket).toBe(i)
      refusals++
      check()
    }
  })
  while (received < sizes.length) check()
  expect(refusals).toBeGreaterThan(100)
})

test('a refused delivery takes nothing, whichever ring is full', () => {
  const inbox = inboxOf(4, 256)
  const small = messageOf(0, 1, 64)
  const large = messageOf(1, 1, 128)
  expect(deliver(inbox, large.words, 0, large.payload, 0)).toBe(true)
  expect(deliver(inbox, large.words, 0, large.payload, 0)).toBe(true)
  expect(deliver(inbox, small.words, 0, small.payload, 0)).toBe(false) // the log is full
  const none = messageOf(2, 1, 0)
  expect(deliver(inbox, none.words, 0, null, 0)).toBe(true)
  expect(deliver(inbox, none.words, 0, null, 0)).toBe(true)
  expect(deliver(inbox, none.words, 0, null, 0)).toBe(false) // the cells are
  expect(kindsOf(take(inbox))).toEqual(['1', '1', '2', '2'])
  expect(deliver(inbox, small.words, 0, small.payload, 0)).toBe(true)
  expect(payloadMaxOf(inbox)).toBe(128)
})

test('a cut link drops, and its control cells keep their place though the inbox is full', () => {
  const { inbox, link } = open(inboxOf(2, 256))
  const { words } = messageOf(1, 3, 0)
  expect(link.send(words, 0, null, 1)).toBe(true)
  link.cut()
  expect(link.send(words, 0, null, 2)).toBe(true)
  expect([link.up, link.sentTicket]).toEqual([false, 2])
  link.heal()
  words[7] = 2
  expect(link.send(words, 0, null, 3)).toBe(false) // behind down 1 and up 2
  expect(kindsOf(take(inbox))).toEqual(['up 1', '1'])
  expect(link.doWork()).toBe(2)
  expect(link.send(words, 0, null, 3)).toBe(false)
  expect(kindsOf(take(inbox))).toEqual(['down 1', 'up 2'])
  expect(link.send(words, 0, null, 3)).toBe(true)
  link.close()
  expect(kindsOf(take(inbox))).toEqual(['2', 'down 2'])
  expect(() => link.heal()).toThrow('closed')
})
