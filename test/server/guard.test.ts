/** What stands between strangers and the API: hosts, origins, tokens, and JSON that is bounded. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Auth, type AccessRole, authOf, createFailureLimiter } from '../../src/server/auth.ts'
import type { RequestHead } from '../../src/server/http/adapter.ts'
import { createGuard, isJson } from '../../src/server/http/guard.ts'
import { base64Of, fieldsOf, parseJson } from '../../src/server/http/json.ts'

const TOKENS = 'read reader-0123456789\nwrite writer-0123456789\n# x\n\nadmin admin-0123456789\n'

const head = (headers: Readonly<Record<string, string>>, remote = '127.0.0.1'): RequestHead => ({
  ...{ method: 'POST', path: '/', query: '', remote },
  header: (name) => headers[name] ?? null,
})

function guardOf(tokens: string | null = null, nowMs: () => number = () => 0) {
  const auth = tokens === null ? null : (authOf(tokens, 'tokens') as Auth)
  return createGuard({
    hosts: new Set(['localhost', '[::1]', 'db.example']),
    origins: new Set(['https://page.example']),
    ...{ auth, nowMs },
  })
}

test.each([
  ['localhost', true],
  ['localhost:7479', true],
  ['LOCALHOST:1', true],
  ['[::1]:7479', true],
  ['db.example', true],
  ['evil.example', false],
  ['db.example.evil.example', false],
  ['', false],
])('host %j is served: %s', (host, isServed) => {
  const refused = guardOf().refusalOf(head({ host }), 'write')
  expect(refused?.status ?? 200).toBe(isServed ? 200 : 421)
})

test('a page of another origin is refused, also one of this host and one without a name', () => {
  const statusOf = (origin: string) =>
    guardOf().refusalOf(head({ host: 'localhost', origin }), 'read')?.status ?? 200
  expect(statusOf('https://page.example')).toBe(200)
  for (const origin of ['https://evil.example', 'http://localhost:7479', 'null', ''])
    expect(statusOf(origin)).toBe(403)
})

test('only an allowed origin gets a CORS header, and never a star', () => {
  const guard = guardOf()
  expect(guard.corsOf(head({ origin: 'https://page.example' }))).toMatchObject({
    'access-control-allow-origin': 'https://page.example',
  })
  expect(guard.corsOf(head({ origin: 'https://evil.example' }))).toBeUndefined()
  expect(guard.corsOf(head({}))).toBeUndefined()
})

test.each<[token: string, wanted: AccessRole, status: number]>([
  ['reader-0123456789', 'read', 200],
  ['reader-0123456789', 'write', 403],
  ['writer-0123456789', 'read', 200],
  ['writer-0123456789', 'write', 200],
  ['writer-0123456789', 'admin', 403],
  ['admin-0123456789', 'admin', 200],
  ['admin-012345678', 'read', 401],
  ['', 'read', 401],
])('token %j may %s: %s', (token, wanted, status) => {
  const headers = { host: 'localhost', authorization: `Bearer ${token}` }
  expect(guardOf(TOKENS).refusalOf(head(headers), wanted)?.status ?? 200).toBe(status)
})

test('without a token, or with another scheme, nothing is allowed', () => {
  const guard = guardOf(TOKENS)
  const basic = { host: 'localhost', authorization: 'Basic reader-0123456789' }
  for (const headers of [{ host: 'localhost' }, basic]) {
    expect(guard.refusalOf(head(headers), 'read')).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Bearer' },
    })
  }
})

test('an address that guesses is refused for a while, others and later ones are not', () => {
  let now = 0
  const guard = guardOf(TOKENS, () => now)
  const statusOf = (token: string, remote: string) =>
    guard.refusalOf(head({ host: 'localhost', authorization: `Bearer ${token}` }, remote), 'read')
      ?.status ?? 200
  for (let i = 0; i < 20; i++) expect(statusOf(`guess-${String(i)}`, '192.0.2.1')).toBe(401)
  expect(statusOf('reader-0123456789', '192.0.2.1')).toBe(429)
  expect(statusOf('reader-0123456789', '192.0.2.2')).toBe(200)
  now = 10_001
  expect(statusOf('reader-0123456789', '192.0.2.1')).toBe(200)
})

test('failures of many addresses cost bounded memory: the oldest are forgotten', () => {
  const limiter = createFailureLimiter(() => 0)
  for (let i = 0; i < 25; i++) limiter.failed('first')
  expect(limiter.allows('first')).toBe(false)
  for (let i = 0; i < 5_000; i++) limiter.failed(`address-${String(i)}`)
  expect(limiter.allows('first')).toBe(true)
})

test.each([
  ['application/json', true],
  ['Application/JSON; charset=utf-8', true],
  ['application/x-www-form-urlencoded', false],
  ['text/plain', false],
  ['text/plain; application/json', false],
  ['application/jsonp', false],
])('content type %j is JSON: %s', (type, is) => {
  expect(isJson(head({ 'content-type': type }))).toBe(is)
})

describe('JSON', () => {
  const bytes = (text: string) => Buffer.from(text)
  const E_REQUEST_INVALID = expect.objectContaining({ code: 'E_REQUEST_INVALID' }) as unknown

  test('deeper than 32 levels is refused unparsed, brackets in texts do not count', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    expect(() => parseJson(bytes(nested(33)))).toThrow('deeper than 32')
    expect(() => parseJson(bytes('['.repeat(1_000_000)))).toThrow('deeper than 32')
    expect(parseJson(bytes(nested(32)))).toBeInstanceOf(Array)
    expect(parseJson(bytes(JSON.stringify('\\"'.repeat(9) + '['.repeat(99))))).toBeTypeOf('string')
  })

  test('names of the prototype are unknown fields, and change nothing', () => {
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString']) {
      const fields = fieldsOf(parseJson(bytes(`{"${name}":{"polluted":true}}`)))
      expect(() => fields.done()).toThrow(`${name === 'toString' ? 'to_string' : name}: no such`)
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  test('all problems come at once, with their paths', () => {
    const body = '{"key":"%%","limit":1.5,"list":[{"flag":1},7],"rangeEnd":"","range_end":"","x":1}'
    const fields = fieldsOf(parseJson(bytes(body)))
    fields.bytes('key', 10)
    fields.integer('limit', 0, 9, 0)
    for (const one of fields.list('list', 5)) one.flag('flag')
    fields.bytes('range_end', 10)
    expect(() => fields.done()).toThrow(
      expect.objectContaining({
        detail: {
          problems: [
            'range_end: given twice',
            'key: want base64',
            'limit: want a whole number from 0 to 9',
            'list[1]: want an object',
            'list[0].flag: want true or false',
            'x: no such field',
          ],
        },
      }) as Error,
    )
  })

  test('64-bit numbers may be texts, and must be safe', () => {
    const read = (text: string) => {
      const fields = fieldsOf(parseJson(bytes(`{"n":${text}}`)))
      const value = fields.integer('n', 0, Number.MAX_SAFE_INTEGER, -1)
      fields.done()
      return value
    }
    expect([read('7'), read('"7"'), read('"9007199254740991"')]).toEqual([7, 7, 2 ** 53 - 1])
    for (const bad of ['"9007199254740992"', '1e300', '"0x7"', '" 7"', '-1', 'null', '"1e3"'])
      expect(() => read(bad)).toThrow('n: want a whole number')
  })

  test('base64 is strict: one text a value', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (given) => {
        expect(base64Of(Buffer.from(given).toString('base64'))).toEqual(Buffer.from(given))
      }),
    )
    for (const bad of ['a', 'ab', 'abc', 'YQ', 'YQ=', 'YR==', 'Y Q==', '_-==', 'YQ==YQ=='])
      expect(base64Of(bad)).toBeNull()
  })

  test('whatever the bytes are, the answer is a value or E_REQUEST_INVALID', () => {
    const json = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json({ maxDepth: 5 }).map((text) => new Uint8Array(Buffer.from(text))),
    )
    fc.assert(
      fc.property(json, (given) => {
        try {
          const fields = fieldsOf(parseJson(given))
          fields.bytes('key', 10)
          for (const one of fields.list('compare', 3)) one.integer('version', 0, 9, 0)
          fields.object('token')?.text('cluster')
          fields.done()
        } catch (error) {
          expect(error).toEqual(E_REQUEST_INVALID)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
