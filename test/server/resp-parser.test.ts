/** The RESP parser: any cut of the stream gives the same requests, and limits come first. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { STRANGER_LIMITS } from '../../src/server/resp/connection.ts'
import { matchesGlob } from '../../src/server/resp/glob.ts'
import { ProtocolError, type RequestLimits, createParser } from '../../src/server/resp/parser.ts'
import { createReplyWriter } from '../../src/server/resp/reply.ts'
import { RESP_LIMITS } from '../../src/server/resp/server.ts'
import { below, createRandom, next } from '../support/random.ts'
import { encode } from './resp-words.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** Requests as words, then `!` and the reason if the stream was refused. */
function parse(chunks: readonly Uint8Array[], limits: RequestLimits = RESP_LIMITS): string[] {
  const parser = createParser(limits)
  const found: string[] = []
  try {
    for (const chunk of chunks) {
      parser.feed(chunk)
      for (let one = parser.next(); one !== null; one = parser.next()) {
        found.push(one.map(text).join(','))
      }
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    found.push(`!${error.message}`)
  }
  return found
}

const parseText = (stream: string, limits?: RequestLimits): string[] =>
  parse([Buffer.from(stream, 'latin1')], limits)

test.each<[name: string, stream: string, want: string[]]>([
  ['an array of bulk strings', '*2\r\n$3\r\nGET\r\n$1\r\nk\r\n', ['GET,k']],
  ['a binary argument', '*2\r\n$1\r\nA\r\n$4\r\n\0\r\n\xff\r\n', ['A,\0\r\n\xff']],
  ['an empty argument', '*2\r\n$4\r\nECHO\r\n$0\r\n\r\n', ['ECHO,']],
  ['an array of nothing', '*0\r\n*1\r\n$4\r\nPING\r\n', ['PING']],
  ['inline commands', 'PING\r\n  SET  a\tb \nGET a\r\n\r\n\n', ['PING', 'SET,a,b', 'GET,a']],
  ['half a request', '*2\r\n$3\r\nGET\r\n$1\r\n', []],
  ['no number', '*x\r\n', ['!expected a number']],
  ['a negative array', '*-1\r\n', ['!expected a number']],
  ['an empty number', '*\r\n', ['!expected a number']],
  ['a number that does not end', `*${'1'.repeat(20)}`, ['!a number that does not end']],
  ['a number with a bare CR', '*1\rx', ['!a number ends with CR and LF']],
  ['no bulk string', '*1\r\n:1\r\n', ["!expected '$', the size of an argument"]],
  ['a null argument', '*1\r\n$-1\r\n', ['!expected a number']],
  ['a wrong size', '*1\r\n$1\r\nab\r\n', ['!an argument is longer than its size says']],
  ['too many elements', '*2050\r\n', ['!2050 elements, at most 2049']],
  [
    'too large an argument',
    '*1\r\n$1572865\r\n',
    ['!an argument of 1572865 bytes, at most 1572864'],
  ],
  ['too long a line', 'x'.repeat(16_385), ['!an inline command of more than 16384 bytes']],
])('%s', (_name, stream, want) => {
  expect(parseText(stream)).toEqual(want)
})

test('a request is refused where its sizes together pass the limit, before all is here', () => {
  const limits = { ...RESP_LIMITS, requestSizeMaxBytes: 10 }
  expect(parseText('*3\r\n$6\r\nabcdef\r\n$5\r\n', limits)).toEqual([
    '!a request of more than 10 bytes',
  ])
})

test('a stranger has ten elements and 16 KiB', () => {
  expect(parseText('*11\r\n', STRANGER_LIMITS)).toEqual(['!11 elements, at most 10'])
  expect(parseText('*2\r\n$16385\r\n', STRANGER_LIMITS)[0]).toMatch(/^!an argument of 16385/)
  expect(parseText(`${'a '.repeat(11)}\r\n`, STRANGER_LIMITS)[0]).toMatch(/^!11 elements/)
})

test('what is announced costs nothing before it is here', () => {
  const parser = createParser(RESP_LIMITS)
  parser.feed(Buffer.from('*1\r\n$1572864\r\nabc'))
  expect(parser.next()).toBeNull()
  expect(parser.sizeBytes).toBe(3)
})

test('any cut of the stream gives the same requests', () => {
  const word = fc.uint8Array({ maxLength: 30 })
  fc.assert(
    fc.property(
      fc.array(fc.array(word, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
      (requests, cuts) => {
        const stream = Buffer.concat(requests.map((words) => encode(...words)))
        const chunks: Buffer[] = []
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length]!
          chunks.push(stream.subarray(at, (at += size)))
        }
        const want = requests.map((words) => words.map(text).join(','))
        expect(parse([stream])).toEqual(want)
        expect(parse(chunks)).toEqual(want)
      },
    ),
    { numRuns: 500, seed: 5 },
  )
})

test('100,000 streams of noise and damaged requests end in requests or a refusal', () => {
  const random = createRandom(17)
  const seeds = [
    encode('SET', 'key', 'value', 'EX', '10'),
    encode('MGET', 'a', 'b', 'c'),
    Buffer.from('PING\r\nSET a b\r\n'),
    Buffer.concat([encode('GET', 'k'), encode('INCR', 'n')]),
  ]
  const ALPHABET = Buffer.from('*$:+-0123456789\r\n\0 aZ\xff', 'latin1')
  const counts = { requests: 0, refused: 0, waiting: 0 }
  for (let run = 0; run < 100_000; run++) {
    const bytes = Buffer.from(seeds[below(random, seeds.length)]!)
    if (run % 4 === 0) for (let i = 0; i < bytes.length; i++) bytes[i] = next(random) & 0xff
    else {
      for (let i = below(random, 4); i >= 0; i--) {
        bytes[below(random, bytes.length)] = ALPHABET[below(random, ALPHABET.length)]!
      }
    }
    const parser = createParser(run % 2 === 0 ? RESP_LIMITS : STRANGER_LIMITS)
    try {
      const cut = below(random, bytes.length)
      for (const chunk of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        parser.feed(chunk)
        for (let one = parser.next(); one !== null; one = parser.next()) {
          counts.requests += 1
          expect(one.length).toBeGreaterThan(0)
        }
      }
      counts.waiting += 1
      expect(parser.sizeBytes).toBeLessThanOrEqual(bytes.length)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      counts.refused += 1
    }
  }
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(1_000)
})

test('replies are RESP2, and one line is one line whatever is in it', () => {
  const writer = createReplyWriter()
  const replies = [1, -2n, 'text', Buffer.from('\r\n'), null, { status: 'OK' }, []] as const
  writer.write([...replies, { error: 'ERR a\r\n-b' }])
  expect(writer.take().toString()).toBe(
    '*8\r\n:1\r\n:-2\r\n$4\r\ntext\r\n$2\r\n\r\n\r\n$-1\r\n+OK\r\n*0\r\n-ERR a??-b\r\n',
  )
  expect(writer.take().length).toBe(0)
  writer.write(Buffer.alloc(200_000, 'x'))
  expect(writer.take().length).toBe(200_000 + '$200000\r\n\r\n'.length)
})

test.each<[pattern: string, text: string, want: boolean]>([
  ['*', '', true],
  ['', '', true],
  ['', 'a', false],
  ['a*c', 'abbc', true],
  ['a*c', 'abb', false],
  ['?', 'a', true],
  ['?', '', false],
  ['h[ae]llo', 'hallo', true],
  ['h[^e]llo', 'hello', false],
  ['h[a-c]llo', 'hbllo', true],
  ['h[c-a]llo', 'hbllo', true],
  ['[\\]]', ']', true],
  ['\\*', '*', true],
  ['\\*', 'a', false],
  ['[ab', 'b', true],
  ['*a*b*', 'xxaxxbxx', true],
  ['\\', '\\', true],
])('the pattern %s and %s: %s', (pattern, string, want) => {
  expect(matchesGlob(Buffer.from(pattern), Buffer.from(string))).toBe(want)
})

test('a pattern of many stars costs pattern times text, not more', () => {
  const pattern = Buffer.from(`${'a*'.repeat(2_000)}b`)
  expect(matchesGlob(pattern, Buffer.alloc(4_000, 'a'))).toBe(false)
})
