/**
 * The judge's own key-value store: what each key held behind each index, for ever. Apart from
 * state-machines/key-value.ts, whose commands it reads. Values are u32 numbers. Pure.
 */
import { demand } from './invariants.ts'

interface Version {
  readonly index: number
  /** Null: absent. */
  readonly value: number | null
}

export interface Store {
  /** Ascending by index. */
  readonly versions: Map<number, Version[]>
}

export const createStore = (): Store => ({ versions: new Map() })

const PUT = 1
const DELETE = 2
const CAS = 3
const DONE = Uint8Array.of(1)
const NOT_DONE = Uint8Array.of(0)

/** Command: u8 kind, u16 size of the key (2), key (u16), and what the kind has. */
export function execute(store: Store, index: number, command: Uint8Array): Uint8Array {
  const key = command[3]! | (command[4]! << 8)
  const now = valueAt(store, key, index)
  switch (command[0]) {
    case PUT:
      return write(store, key, index, numberAt(command, 5))
    case DELETE:
      return now === null ? NOT_DONE : write(store, key, index, null)
    case CAS:
      return now === numberAt(command, 9)
        ? write(store, key, index, numberAt(command, 13))
        : NOT_DONE
    default:
      demand(false, 'I21', `no caller made the command ${command[0]}`)
      return NOT_DONE
  }
}

const numberAt = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0

function write({ versions }: Store, key: number, index: number, value: number | null): Uint8Array {
  const known = versions.get(key)
  if (known === undefined) versions.set(key, [{ index, value }])
  else known.push({ index, value })
  return DONE
}

/** What the key holds behind `index`. */
export function valueAt({ versions }: Store, key: number, index: number): number | null {
  const known = versions.get(key) ?? []
  for (let place = known.length - 1; place >= 0; place--) {
    if (known[place]!.index <= index) return known[place]!.value
  }
  return null
}
