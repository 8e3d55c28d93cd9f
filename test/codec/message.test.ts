/** Messages of both engines as cells: round trips of every kind, golden words, every refusal. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hasCode } from '../../src/base/errors.ts'
import { basicPaxosCodec } from '../../src/codec/basic-paxos-message.ts'
import { CELL_WORDS, WORD_FIELDS } from '../../src/codec/cell.ts'
import type { MessageCodec } from '../../src/codec/message-codec.ts'
import { xpaxosCodec } from '../../src/codec/message.ts'
import type { BasicPaxosMessage } from '../../src/core/basic-paxos/messages.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'

/** Type letters: b ballot, n number, c chain, C chain or -1. tsc wants every kind and field. */
type Letter = 'b' | 'n' | 'c' | 'C'
type Shapes<M extends { readonly kind: string }> = {
  readonly [K in M['kind']]: Readonly<
    Record<Exclude<keyof Extract<M, { readonly kind: K }>, 'kind'>, Letter>
  >
}

const XPAXOS: Shapes<XPaxosMessage> = {
  hello: { promised: 'b', acceptedBallot: 'b', last: 'n', floor: 'n' },
  heartbeat: {
    round: 'n',
    ballot: 'b',
    chosen: 'n',
    chosenChain: 'c',
    knows: 'n',
    held: 'n',
    heldByData: 'n',
    leaderHolds: 'n',
  },
  'heartbeat-reply': {
    round: 'n',
    promised: 'b',
    content: 'n',
    connected: 'n',
    last: 'n',
    firstRetained: 'n',
    full: 'n',
  },
  prepare: { ballot: 'b' },
  promise: {
    ballot: 'b',
    acceptedBallot: 'b',
    last: 'n',
    floor: 'n',
    floorChain: 'c',
    firstRetained: 'n',
  },
  fetch: { ballot: 'b', acceptedBallot: 'b', from: 'n', through: 'n' },
  fetched: { ballot: 'b', acceptedBallot: 'b', prev: 'n', through: 'n' },
  'accept-sync': {
    ballot: 'b',
    attempt: 'n',
    syncPoint: 'n',
    syncChain: 'C',
    adoptedLast: 'n',
    prev: 'n',
    through: 'n',
    chosen: 'n',
    chosenChain: 'c',
  },
  accept: {
    ballot: 'b',
    attempt: 'n',
    prev: 'n',
    through: 'n',
    chosen: 'n',
    chosenChain: 'c',
  },
  accepted: { ballot: 'b', attempt: 'n', through: 'n' },
  'sync-taken': { ballot: 'b', attempt: 'n', through: 'n' },
  reject: { ballot: 'b', attempt: 'n', promised: 'b', last: 'n' },
  chosen: { ballot: 'b', chosen: 'n', chosenChain: 'c' },
  learn: { attempt: 'n', prev: 'n', prevChain: 'C', through: 'n', config: 'n' },
  learned: { attempt: 'n', through: 'n' },
  'take-over': { ballot: 'b' },
  removed: { index: 'n' },
  confirm: { ballot: 'b', round: 'n', lease: 'n' },
  confirmed: { ballot: 'b', round: 'n', promised: 'b', granted: 'n' },
  'lease-held': { ballot: 'b', leftMs: 'n' },
  'lease-released': { ballot: 'b' },
  'read-index': { request: 'n' },
  'read-index-reply': { request: 'n', index: 'n' },
  'lease-index': { request: 'n' },
  'lease-index-reply': { request: 'n', index: 'n', valid: 'n' },
}

const BASIC: Shapes<BasicPaxosMessage> = {
  'basic-prepare': { instance: 'n', ballot: 'b', known: 'n' },
  'basic-promise': { instance: 'n', ballot: 'b', acceptedBallot: 'b', known: 'n' },
  'basic-accept': { instance: 'n', ballot: 'b', known: 'n' },
  'basic-accepted': { instance: 'n', ballot: 'b', known: 'n' },
  'basic-reject': { instance: 'n', ballot: 'b', promised: 'b', known: 'n' },
  'basic-chosen': { first: 'n', through: 'n', ballot: 'b', known: 'n' },
  'basic-learn': { from: 'n', through: 'n', known: 'n' },
  'basic-learned': { instance: 'n', ballot: 'b', known: 'n' },
  'basic-status': { known: 'n' },
}

const MAX = Number.MAX_SAFE_INTEGER
const chain = fc.integer({ min: 0, max: 0xffff_ffff })
const LETTERS: Readonly<Record<Letter, fc.Arbitrary<number>>> = {
  b: fc.oneof(
    fc.constantFrom(0, 1, MAX),
    fc
      .tuple(fc.integer({ min: 0, max: 2 ** 37 - 2 }), fc.integer({ min: 1, max: 65_535 }))
      .map(([round, node]) => round * 65_536 + node),
  ),
  n: fc.oneof(fc.nat(100), fc.integer({ min: 0, max: MAX })),
  c: chain,
  C: fc.oneof(fc.constant(-1), chain),
}

interface Engine {
  readonly name: string
  readonly codec: MessageCodec<{ readonly kind: string }>
  readonly shapes: Readonly<Record<string, Readonly<Record<string, Letter>>>>
}
const ENGINES: readonly Engine[] = [
  { name: 'xpaxos', codec: xpaxosCodec, shapes: XPAXOS },
  { name: 'basic-paxos', codec: basicPaxosCodec, shapes: BASIC },
]
const KINDS = ENGINES.flatMap(({ name, codec, shapes }) =>
  Object.entries(shapes).map(([kind, shape]) => ({ engine: name, kind, codec, shape })),
)

const BASE = 16 // a cell that is not the first, so that a forgotten base shows

test.each(KINDS)('$engine $kind is decoded to what was encoded', ({ codec, kind, shape }) => {
  const fields = Object.fromEntries(Object.entries(shape).map(([n, l]) => [n, LETTERS[l]]))
  fc.assert(
    fc.property(fc.record(fields), (values) => {
      const message = { kind, ...values }
      const words = new Float64Array(3 * CELL_WORDS).fill(-7)
      codec.encode(message, words, BASE)
      const decoded = codec.decode(words, BASE)
      expect(decoded).toEqual(message)
      const again = new Float64Array(3 * CELL_WORDS).fill(-7)
      codec.encode(decoded, again, BASE)
      expect(again).toEqual(words)
    }),
  )
})

test.each(KINDS)('$engine $kind leaves the words of the link alone', ({ codec, kind, shape }) => {
  const values = Object.fromEntries(Object.keys(shape).map((name) => [name, 1]))
  const words = new Float64Array(3 * CELL_WORDS).fill(-7)
  codec.encode({ kind, ...values }, words, BASE)
  expect([...words.subarray(BASE + 1, BASE + WORD_FIELDS)]).toEqual([-7, -7, -7, -7, -7, -7])
  expect([...words.subarray(0, BASE), ...words.subarray(BASE + 16)].every((w) => w === -7)).toBe(
    true,
  )
})

test('codes and the order of fields never change', () => {
  const lines = KINDS.map(({ codec, kind, shape }) => {
    const names = Object.keys(shape)
    const values = Object.fromEntries(names.map((name, i) => [name, i + 1]))
    const words = new Float64Array(CELL_WORDS)
    codec.encode({ kind, ...values }, words, 0)
    const order = [...words.subarray(WORD_FIELDS)].map((word) => names[word - 1] ?? '-')
    return `${words[0]} ${kind}: ${order.join(' ')}`.replace(/( -)+$/, '')
  })
  expect(lines.join('\n')).toMatchInlineSnapshot(`
    "1 hello: promised acceptedBallot last floor
    2 heartbeat: round ballot chosen chosenChain knows held heldByData leaderHolds
    3 heartbeat-reply: round promised content connected last firstRetained full
    4 prepare: ballot
    5 promise: ballot acceptedBallot last floor floorChain firstRetained
    6 fetch: ballot acceptedBallot from through
    7 fetched: ballot acceptedBallot prev through
    8 accept-sync: ballot attempt syncPoint syncChain adoptedLast prev through chosen chosenChain
    9 accept: ballot attempt prev through chosen chosenChain
    10 accepted: ballot attempt through
    11 sync-taken: ballot attempt through
    12 reject: ballot attempt promised last
    13 chosen: ballot chosen chosenChain
    14 learn: attempt prev prevChain through config
    15 learned: attempt through
    16 take-over: ballot
    17 removed: index
    24 confirm: ballot round lease
    25 confirmed: ballot round promised granted
    28 lease-held: ballot leftMs
    29 lease-released: ballot
    26 read-index: request
    27 read-index-reply: request index
    30 lease-index: request
    31 lease-index-reply: request index valid
    33 basic-prepare: instance ballot known
    34 basic-promise: instance ballot acceptedBallot known
    35 basic-accept: instance ballot known
    36 basic-accepted: instance ballot known
    37 basic-reject: instance ballot promised known
    38 basic-chosen: first through ballot known
    39 basic-learn: from through known
    40 basic-learned: instance ballot known
    41 basic-status: known"
  `)
})

test('no code has two meanings across the engines', () => {
  const codes = KINDS.map(({ codec, kind, shape }) => {
    const words = new Float64Array(CELL_WORDS)
    const values = Object.fromEntries(Object.keys(shape).map((name) => [name, 1]))
    codec.encode({ kind, ...values }, words, 0)
    return words[0]
  })
  expect(new Set(codes).size).toBe(KINDS.length)
})

function refusal(codec: MessageCodec<unknown>, words: Float64Array): string {
  try {
    codec.decode(words, 0)
    return 'ok'
  } catch (error) {
    if (!hasCode(error, 'E_FRAME_INVALID')) throw error
    return `${error.detail.field}: ${error.detail.problem}`
  }
}

const BAD = [NaN, Infinity, -Infinity, -2, -0, 0.5, MAX + 1, -MAX]

test.each(KINDS)('$engine $kind refuses a bad number in any word', ({ codec, kind, shape }) => {
  const names = Object.keys(shape)
  const values = Object.fromEntries(names.map((name) => [name, 1]))
  const words = new Float64Array(CELL_WORDS)
  codec.encode({ kind, ...values }, words, 0)
  for (let i = WORD_FIELDS; i < CELL_WORDS; i++) {
    const name = names[i - WORD_FIELDS]
    const good = words[i]!
    for (const bad of BAD) {
      words[i] = bad
      const want = name === undefined ? `word ${i - WORD_FIELDS}: not-zero` : `${name}: number`
      expect(refusal(codec, words)).toBe(want)
    }
    words[i] = good
  }
  expect(refusal(codec, words)).toBe('ok')
})

test.each(KINDS)('$engine $kind refuses what its fields cannot mean', ({ codec, kind, shape }) => {
  const names = Object.keys(shape)
  const values = Object.fromEntries(names.map((name) => [name, 1]))
  const words = new Float64Array(CELL_WORDS)
  codec.encode({ kind, ...values }, words, 0)
  for (const [i, [name, letter]] of Object.entries(shape).entries()) {
    const at = WORD_FIELDS + i
    words[at] = -1
    expect(refusal(codec, words)).toBe(letter === 'C' ? 'ok' : `${name}: number`)
    words[at] = 2 ** 32
    const chained = letter === 'c' || letter === 'C'
    const want = chained ? `${name}: number` : letter === 'b' ? `${name}: owner` : 'ok'
    expect(refusal(codec, words)).toBe(want)
    words[at] = 1
  }
})

test.each(ENGINES)('$name refuses codes that it does not have', ({ codec, shapes }) => {
  const known = new Set<number>()
  const cell = new Float64Array(CELL_WORDS)
  for (const [kind, shape] of Object.entries(shapes)) {
    codec.encode({ kind, ...Object.fromEntries(Object.keys(shape).map((n) => [n, 1])) }, cell, 0)
    known.add(cell[0]!)
  }
  for (const code of [...Array(300).keys(), ...BAD, 2 ** 31, 2 ** 32 + 1, -1]) {
    if (known.has(code)) continue
    expect(refusal(codec, new Float64Array(CELL_WORDS).fill(code, 0, 1))).toBe('kind: kind')
  }
})

test.each(ENGINES)('$name never throws anything else on random words', ({ codec }) => {
  const word = fc.oneof(fc.double(), fc.nat(50), fc.integer())
  fc.assert(
    fc.property(fc.array(word, { minLength: 16, maxLength: 16 }), (values) => {
      refusal(codec, Float64Array.from(values))
    }),
  )
})

test.each(ENGINES)(
  '$name: a message that could not be decoded is not encoded',
  ({ codec, shapes }) => {
    for (const [kind, shape] of Object.entries(shapes)) {
      for (const name of Object.keys(shape)) {
        const values = Object.fromEntries(Object.keys(shape).map((other) => [other, 1]))
        const words = new Float64Array(CELL_WORDS)
        expect(() => codec.encode({ kind, ...values, [name]: 0.5 }, words, 0)).toThrow()
        expect(() => codec.encode({ kind, ...values, [name]: undefined }, words, 0)).toThrow()
      }
    }
    expect(() => codec.encode({ kind: 'toString' }, new Float64Array(16), 0)).toThrow()
  },
)
