/**
 * Until when this node may read by lease: written by its decision loop, looked at by whoever read a
 * value, on any thread.
 *
 *     bytes 0        4            8             12
 *           +--------+------------+-------------+
 *           | life   | until      | until, wall |   i32 each; times in ms, modulo 2^32
 *           +--------+------------+-------------+
 *
 * `life` is odd while there is a lease, and grows when it begins and when it ends: a read belongs
 * to the life in which it got its index, because between two lives others may have led. Within a
 * life the times only move on, the wall's first; a reader takes them the other way round, so that
 * it never joins a newer time of the one clock to an older one of the other.
 *
 * Two clocks, because a monotonic one may stand still while the machine sleeps; the wall's is what
 * it would show at `until` if it had not been set since.
 */
const LIFE = 0
const UNTIL = 1
const UNTIL_WALL = 2

export interface LeaseWords {
  readonly words: Int32Array
}

export const leaseMemory = (): SharedArrayBuffer => new SharedArrayBuffer(128)
export const openLease = (memory: SharedArrayBuffer): LeaseWords => ({
  words: new Int32Array(memory),
})

/** One writer. `until` 0 ends the lease. */
export function writeLease({ words }: LeaseWords, until: number, untilWall: number): void {
  const life = Atomics.load(words, LIFE)
  const isHeld = (life & 1) === 1
  if (until === 0) {
    if (isHeld) Atomics.store(words, LIFE, (life + 1) | 0)
    return
  }
  Atomics.store(words, UNTIL_WALL, Math.floor(untilWall) | 0)
  Atomics.store(words, UNTIL, Math.floor(until) | 0)
  if (!isHeld) Atomics.store(words, LIFE, (life + 1) | 0)
}

/** What a read remembers when it gets its index; even: there is no lease. */
export const leaseLifeOf = ({ words }: LeaseWords): number => Atomics.load(words, LIFE)

/** Asked after the value was read: true when nobody else can have led when it was asked for. */
export function isLeaseValid(
  { words }: LeaseWords,
  life: number,
  now: number,
  wall: number,
): boolean {
  if ((life & 1) === 0) return false
  const until = Atomics.load(words, UNTIL)
  const untilWall = Atomics.load(words, UNTIL_WALL)
  if (Atomics.load(words, LIFE) !== life) return false
  return isBefore(now, until) && isBefore(wall, untilWall)
}

const isBefore = (time: number, limit: number): boolean => (((Math.ceil(time) | 0) - limit) | 0) < 0
