/**
 * Scales and their ticks: values to places on an axis, linear from 0 or logarithmic. A scale knows
 * nothing of what it measures. Pure.
 */

export interface Scale {
  readonly isLog: boolean
  readonly ticks: readonly number[]
  /** Place of a value between `from` and `to`; values outside are held at the ends. */
  at(value: number): number
}

export interface Span {
  readonly from: number
  readonly to: number
}

/** From this ratio on bars of a linear scale are too short to be seen. */
const LOG_RATIO = 50
const TICKS_MAX = 6

export const isWide = (values: readonly number[]): boolean => {
  const above = values.filter((value) => value > 0)
  return above.length > 1 && Math.max(...above) / Math.min(...above) > LOG_RATIO
}

/** From 0 to a round number above the greatest. */
export function linearScale(values: readonly number[], { from, to }: Span): Scale {
  const greatest = Math.max(...values.filter(Number.isFinite), 0) || 1
  const step = roundStep(greatest / 4)
  const end = Math.ceil(greatest / step - 1e-9) * step
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, i) => i * step)
  return { isLog: false, ticks, at: (value) => placed(value / end, from, to) }
}

/**
 * Ticks at powers of ten, or at 1, 2 and 5 of each where there are few; starts below the smallest
 * value, so that its bar has a length. Values of 0 stand at the start.
 */
export function logScale(values: readonly number[], { from, to }: Span): Scale {
  const above = values.filter((value) => value > 0 && Number.isFinite(value))
  const [least, greatest] = above.length === 0 ? [1, 10] : [Math.min(...above), Math.max(...above)]
  const start = bottomOf(least)
  const end = topOf(greatest)
  const span = Math.log10(end) - Math.log10(start)
  const share = (value: number): number => (Math.log10(value) - Math.log10(start)) / span
  const at = (value: number): number => placed(share(value), from, to)
  return { isLog: true, ticks: logTicks(start, end), at }
}

const placed = (share: number, from: number, to: number): number =>
  from + Math.min(1, Math.max(0, share)) * (to - from)

/** 1, 2 or 5 times a power of ten, at least the value. */
function roundStep(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9)
  return power * ([1, 2, 5].find((factor) => factor * power >= value * (1 - 1e-9)) ?? 10)
}

function bottomOf(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least) + 1e-9)
  const below = [5, 2, 1].find((factor) => factor * power < least * 0.8)
  return below === undefined ? power / 2 : below * power
}

function topOf(greatest: number): number {
  const power = 10 ** Math.floor(Math.log10(greatest) + 1e-9)
  return power * ([1, 2, 5].find((factor) => factor * power >= greatest) ?? 10)
}

function logTicks(start: number, end: number): number[] {
  const from = Math.floor(Math.log10(start) + 1e-9)
  const to = Math.ceil(Math.log10(end) - 1e-9)
  const powers = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i))
  const isInside = (value: number): boolean => value >= start * 0.999 && value <= end * 1.001
  const tens = powers.filter(isInside)
  if (tens.length >= 3) return thinned(tens)
  return thinned(powers.flatMap((power) => [power, 2 * power, 5 * power]).filter(isInside))
}

function thinned(ticks: readonly number[]): number[] {
  const every = Math.ceil(ticks.length / TICKS_MAX)
  return ticks.filter((_, i) => i % every === 0)
}
