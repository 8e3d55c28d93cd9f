/** Hashes of what the key-value store holds: 32 bits a seed. Pure. */
import type { Entry } from './key-value-store.ts'

const PRIME = 0x01000193

export function hashOfEntry(entry: Entry, seed: number): number {
  const { key, value, createRevision, modRevision, version, deadlineMs } = entry
  let h = seed
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), PRIME)
  h = Math.imul(h ^ 0x1ff, PRIME) // where the key ends
  for (const byte of value) h = Math.imul(h ^ byte, PRIME)
  h = hashOfNumber(h, createRevision)
  h = hashOfNumber(h, modRevision)
  h = hashOfNumber(h, version)
  return mixed(hashOfNumber(h, deadlineMs))
}

export function hashOfNumber(h: number, value: number): number {
  const low = Math.imul(h ^ (value >>> 0), PRIME)
  return Math.imul(low ^ Math.floor(value / 2 ** 32), PRIME) >>> 0
}

/** Spreads what multiplying has only moved upwards. */
function mixed(h: number): number {
  const once = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  return (once ^ (once >>> 13)) >>> 0
}
