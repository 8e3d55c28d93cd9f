/**
 * Copies of plain data, for whoever tries several futures of one state. What is never changed
 * (frames, configurations, config batches) is shared, so that identity means the same in a copy.
 * Pure.
 */

/** Objects that are shared between copies: by what they carry, since data has no class. */
const isShared = (value: object): boolean =>
  'headerCrc' in value || 'membership' in value || 'heartbeatMs' in value

export function copyOf<T>(value: T): T {
  return copyAny(value) as T
}

function copyAny(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyAny)
  if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, copyAny(one)]))
  if (value instanceof Set) return new Set(value)
  if (value instanceof Float64Array) return value.slice()
  if (isShared(value)) return value
  const copy: Record<string, unknown> = {}
  for (const [key, one] of Object.entries(value)) copy[key] = copyAny(one)
  return copy
}
