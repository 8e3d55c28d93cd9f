/** The key-value store as its documents say it, without any cleverness: what tests compare with. */
import type {
  KeyValue,
  KvAnswer,
  KvCommand,
  KvGuard,
  KvOperation,
  TickAnswer,
  TxnAnswer,
} from '../../src/state-machines/key-value-commands.ts'

interface Held {
  readonly key: Uint8Array
  value: Uint8Array
  create: number
  mod: number
  version: number
  deadline: number | null
}

export interface Model {
  clock: number
  held: Held[]
}

const same = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

export const createModel = (): Model => ({ clock: 0, held: [] })

export function run(
  model: Model,
  command: KvCommand,
  revision: number,
): KvAnswer | TxnAnswer | TickAnswer {
  if (command.kind === 'tick') return tick(model, command.nowMs)
  if (command.kind !== 'txn') return runOne(model, command, revision)
  const succeeded = command.guards.every((guard) => holds(model, guard))
  const done = succeeded ? command.then : command.else
  return { succeeded, answers: done.map((one) => runOne(model, one, revision)) }
}

const find = ({ held }: Model, key: Uint8Array): Held | undefined =>
  held.find((one) => same(one.key, key))

const shown = (model: Model, one: Held, keysOnly = false): KeyValue => ({
  key: one.key,
  value: keysOnly ? null : one.value,
  createRevision: one.create,
  modRevision: one.mod,
  version: one.version,
  ttlMs: one.deadline === null ? null : Math.max(0, one.deadline - model.clock),
})

function put(model: Model, key: Uint8Array, value: Uint8Array, revision: number): Held {
  const old = find(model, key)
  if (old !== undefined) {
    Object.assign(old, { value, mod: revision, version: old.version + 1 })
    return old
  }
  const made = { key, value, create: revision, mod: revision, version: 1, deadline: null }
  model.held.push(made)
  return made
}

const isIn = (key: Uint8Array, from: Uint8Array, to: Uint8Array | null): boolean =>
  Buffer.compare(key, from) >= 0 && (to === null || Buffer.compare(key, to) < 0)

function runOne(model: Model, one: KvOperation, revision: number): KvAnswer {
  switch (one.kind) {
    case 'put': {
      const old = find(model, one.key)
      if (one.ttlMs !== undefined) model.clock = Math.max(model.clock, one.nowMs ?? 0)
      const previous = one.previous ? { previous: old ? shown(model, old) : null } : {}
      if (one.only && (one.only === 'absent') === (old !== undefined)) {
        return { kind: 'put', done: false, ...previous }
      }
      const kept = one.keepTtl ? (old?.deadline ?? null) : null
      const held = put(model, one.key, one.value, revision)
      held.deadline = one.ttlMs === undefined ? kept : model.clock + one.ttlMs
      return { kind: 'put', done: true, ...previous }
    }
    case 'get': {
      const held = find(model, one.key)
      return { kind: 'get', entry: held ? shown(model, held, one.keysOnly) : null }
    }
    case 'delete': {
      const done = find(model, one.key) !== undefined
      model.held = model.held.filter(({ key }) => !same(key, one.key))
      return { kind: 'delete', done }
    }
    case 'cas': {
      const old = find(model, one.key)
      const done = old !== undefined && same(old.value, one.expected)
      if (done) put(model, one.key, one.value, revision).deadline = null
      return { kind: 'cas', done }
    }
    case 'range': {
      const found = model.held
        .filter(({ key }) => isIn(key, one.from, one.to))
        .sort((a, b) => Buffer.compare(a.key, b.key))
      const entries = found.slice(0, one.limit).map((held) => shown(model, held, one.keysOnly))
      return { kind: 'range', entries, more: found.length > entries.length }
    }
    case 'delete-range': {
      const before = model.held.length
      model.held = model.held.filter(({ key }) => !isIn(key, one.from, one.to))
      return { kind: 'delete-range', count: before - model.held.length }
    }
    case 'incr': {
      const text = Buffer.from(find(model, one.key)?.value ?? Buffer.from('0')).toString('latin1')
      const before = /^-?[0-9]+$/.test(text) ? BigInt(text) : null
      const isPlain = before !== null && before.toString() === text && fits(before)
      if (!isPlain) return { kind: 'refused', reason: 'not-a-number' }
      const value = before + one.delta
      if (!fits(value)) return { kind: 'refused', reason: 'overflow' }
      put(model, one.key, Buffer.from(value.toString()), revision)
      return { kind: 'incr', value }
    }
    case 'expire': {
      if (one.ttlMs !== null) model.clock = Math.max(model.clock, one.nowMs ?? 0)
      const held = find(model, one.key)
      if (held) held.deadline = one.ttlMs === null ? null : model.clock + one.ttlMs
      return { kind: 'expire', done: held !== undefined }
    }
  }
}

const fits = (value: bigint): boolean => value >= -(2n ** 63n) && value < 2n ** 63n

function tick(model: Model, nowMs: number): TickAnswer {
  model.clock = Math.max(model.clock, nowMs)
  const isDue = ({ deadline }: Held): boolean => deadline !== null && deadline <= model.clock
  const expired = model.held
    .filter(isDue)
    .sort((a, b) => a.deadline! - b.deadline! || Buffer.compare(a.key, b.key))
    .map(({ key }) => key)
  model.held = model.held.filter((one) => !isDue(one))
  const leased = model.held.filter(({ deadline }) => deadline !== null).length
  return { expired, more: false, leased }
}

function holds(model: Model, guard: KvGuard): boolean {
  const held = find(model, guard.key)
  const order =
    guard.field === 'value'
      ? Buffer.compare(held?.value ?? Buffer.alloc(0), guard.value)
      : (held?.[guard.field] ?? 0) - guard.value
  if (guard.field === 'value' && held === undefined) return false
  const is = { equal: order === 0, 'not-equal': order !== 0, less: order < 0, greater: order > 0 }
  return is[guard.is]
}
