/**
 * The store as it was at one moment, read in order of the keys while it changes: copy on write
 * ahead of a cursor. What is written behind the cursor needs no copy; what changes ahead of it is
 * kept as it was, once a key.
 *
 *     keys    a ..... cursor ............... z
 *             written | kept, if it changed since; else as it is now
 *
 * Invariants: `kept` has a key at or ahead of the cursor exactly if it changed since the freeze: as
 * it was, or null where it was not there. Cost: a look at `kept` a change, while one is open.
 */
import { type KeyIndex, createKeyIndex, insertKey, walkKeys } from './key-value-keys.ts'
import { type Entry, copyOf } from './key-value-store.ts'

export interface Frozen {
  /** The next key to be written is not below it. */
  cursor: string
  /** Key -> its entry at the freeze. */
  readonly kept: Map<string, Entry | null>
  /** Of those that were there, in order. */
  readonly old: KeyIndex
}

export const createFrozen = (): Frozen => ({ cursor: '', kept: new Map(), old: createKeyIndex() })

/** Before any change of the key. @param entry as it is; undefined: it is not there */
export function keepOld(frozen: Frozen, key: string, entry: Entry | undefined): void {
  const { cursor, kept, old } = frozen
  if (key < cursor || kept.has(key)) return
  kept.set(key, entry === undefined ? null : { ...entry, value: copyOf(entry.value) })
  if (entry !== undefined) insertKey(old, key)
}

/**
 * Visits what was there, from the cursor on, until a visit is false; the cursor moves behind the
 * last one visited.
 * @param live the entry of a key as it is now
 * @returns true when there is nothing left
 */
export function walkFrozen(
  frozen: Frozen,
  keys: KeyIndex,
  live: (key: string) => Entry,
  visit: (entry: Entry) => boolean,
): boolean {
  for (;;) {
    const next = firstOf(frozen, keys)
    if (next === null) return true
    // Behind it, before the visit: what the visit is shown is not changed by what comes later.
    frozen.cursor = `${next}\0`
    const kept = frozen.kept.get(next)
    frozen.kept.delete(next)
    if (kept === null) continue // it came later
    if (!visit(kept ?? live(next))) return false
  }
}

/** The next key that is there now, or was: what was removed since is in `old` alone. */
function firstOf({ cursor, old }: Frozen, keys: KeyIndex): string | null {
  const now = firstFrom(keys, cursor)
  const before = firstFrom(old, cursor)
  if (now === null || before === null) return now ?? before
  return now < before ? now : before
}

function firstFrom(keys: KeyIndex, from: string): string | null {
  let found: string | null = null
  walkKeys(keys, from, null, (key) => {
    found = key
    return false
  })
  return found
}
