/**
 * JSON of strangers: bounded in depth before it is parsed, then read field by field. What a request
 * does not know is refused, so `__proto__` and its like are only unknown fields. A field may be
 * written as `range_end` or `rangeEnd`, as in etcd's gateway. Pure.
 */
import { ReplicaError } from '../../base/errors.ts'

const DEPTH_MAX = 32

/** @throws ReplicaError E_REQUEST_INVALID */
export function parseJson(bytes: Uint8Array): unknown {
  if (depthOf(bytes) > DEPTH_MAX) throw invalid(`deeper than ${String(DEPTH_MAX)} levels`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw invalid('the body is not JSON')
  }
}

/** Brackets outside strings: a loop, since the parser's own stack is what is to be spared. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0
  let deepest = 0
  let isText = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (isText) {
      if (byte === BACKSLASH) i++
      else if (byte === QUOTE) isText = false
    } else if (byte === QUOTE) isText = true
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) deepest = Math.max(deepest, ++depth)
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--
  }
  return deepest
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c]
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d]

/** One object of a request; collects what is wrong with it. */
export interface Fields {
  readonly path: string
  readonly problems: string[]
  has(name: string): boolean
  /** Base64 of at most `maxBytes`; absent: null. */
  bytes(name: string, maxBytes: number): Uint8Array | null
  /** A whole number, also as text, as 64-bit numbers are in JSON; absent: `fallback`. */
  integer(name: string, min: number, max: number, fallback: number): number
  flag(name: string): boolean
  choice<Name extends string>(name: string, names: readonly Name[], fallback: Name): Name
  text(name: string): string | null
  object(name: string): Fields | null
  list(name: string, countMax: number): readonly Fields[]
  /** Call last: what was not asked for is unknown, and refused with all other problems. */
  done(): void
}

/** @throws ReplicaError E_REQUEST_INVALID when it is no object */
export function fieldsOf(value: unknown, path = '', problems: string[] = []): Fields {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject) problems.push(`${path === '' ? 'body' : path}: want an object`)
  const given = new Map<string, unknown>()
  for (const [name, one] of Object.entries(isObject ? value : {})) {
    const snake = snakeOf(name)
    if (given.has(snake)) problems.push(`${snake.slice(0, 64)}: given twice`)
    given.set(snake, one)
  }
  const asked = new Set<string>()
  const inner: Fields[] = []
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`)
  const take = (name: string): unknown => {
    asked.add(name)
    return given.get(name)
  }
  const nested = (one: unknown, where: string): Fields => {
    const made = fieldsOf(one, where, problems)
    inner.push(made)
    return made
  }
  return {
    path,
    problems,
    has: (name) => given.has(name),
    bytes(name, maxBytes) {
      const one = take(name)
      if (one === undefined) return null
      const bytes = typeof one === 'string' ? base64Of(one) : null
      if (bytes === null) problems.push(`${at(name)}: want base64`)
      else if (bytes.length > maxBytes)
        problems.push(`${at(name)}: ${String(bytes.length)} bytes of at most ${String(maxBytes)}`)
      return bytes
    },
    integer(name, min, max, fallback) {
      const one = take(name)
      if (one === undefined) return fallback
      const isNumeral = typeof one === 'string' && /^-?[0-9]{1,16}$/.test(one)
      const number = isNumeral ? Number(one) : one
      if (Number.isSafeInteger(number) && Number(number) >= min && Number(number) <= max)
        return Number(number)
      problems.push(`${at(name)}: want a whole number from ${String(min)} to ${String(max)}`)
      return fallback
    },
    flag(name) {
      const one = take(name)
      if (one !== undefined && typeof one !== 'boolean')
        problems.push(`${at(name)}: want true or false`)
      return one === true
    },
    choice(name, names, fallback) {
      const one = take(name)
      if (one === undefined) return fallback
      const found = names.find((known) => known === one)
      if (found === undefined) problems.push(`${at(name)}: want one of ${names.join(', ')}`)
      return found ?? fallback
    },
    text(name) {
      const one = take(name)
      if (one === undefined) return null
      if (typeof one === 'string') return one
      problems.push(`${at(name)}: want text`)
      return null
    },
    object(name) {
      const one = take(name)
      return one === undefined ? null : nested(one, at(name))
    },
    list(name, countMax) {
      const one = take(name)
      if (one === undefined) return []
      if (!Array.isArray(one) || one.length > countMax) {
        problems.push(`${at(name)}: want a list of at most ${String(countMax)}`)
        return []
      }
      return one.map((each, i) => nested(each, `${at(name)}[${String(i)}]`))
    },
    done() {
      for (const name of given.keys())
        if (!asked.has(name)) problems.push(`${at(name.slice(0, 64))}: no such field`)
      for (const one of inner) one.done()
      if (path === '' && problems.length > 0) throw invalid(...problems.slice(0, PROBLEMS_MAX))
    },
  }
}

const PROBLEMS_MAX = 20

const snakeOf = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** Strict: what decodes to the same bytes in another way is refused. */
export function base64Of(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : null
}

export const invalid = (...problems: string[]): ReplicaError =>
  new ReplicaError('E_REQUEST_INVALID', problems.join('; '), { problems })
