/** Figures for people: three digits and a unit that keeps them short. Pure. */

const SCALES = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ''],
] as const

/** 12_345_678 -> '12.3 M/s'. */
export const perSecond = (value: number): string => `${scaled(value)}/s`

/** 12_345_678 -> '12.3 MB/s'. */
export const bytesPerSecond = (value: number): string => `${scaled(value)}B/s`

/** 420 -> '0.42 ms'; below 100 us in us, from 1 s on in s. */
export function latency(us: number): string {
  if (us < 100) return `${digits(us)} us`
  return us < 1e6 ? `${digits(us / 1e3)} ms` : `${digits(us / 1e6)} s`
}

export const percent = (ratio: number): string => `${(ratio * 100).toFixed(0)} %`

/** 0.004 -> '0.004', below 0.001 '< 0.001'. */
export const probability = (p: number): string => (p < 0.001 ? '< 0.001' : p.toFixed(3))

/** 512.3 -> '512', 1.234 -> '1.23'. */
export function digits(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size >= 99.95) return value.toFixed(0)
  if (size >= 9.995) return value.toFixed(1)
  return value.toFixed(2)
}

export function scaled(value: number): string {
  const [scale, prefix] = SCALES.find(([least]) => value >= least * 0.9995) ?? SCALES[3]
  return `${digits(value / scale)} ${prefix}`
}

/** Ticks of an axis: 20000 -> '20 k', without digits that say nothing. */
export function rateTick(value: number): string {
  const [scale, prefix] = SCALES.find(([least]) => value >= least * 0.9995) ?? SCALES[3]
  return `${bare(value / scale)} ${prefix}`.trim()
}

/** 500 -> '500 us', 1500 -> '1.5 ms'. */
export function latencyTick(us: number): string {
  if (us < 1e3) return `${bare(us)} us`
  return us < 1e6 ? `${bare(us / 1e3)} ms` : `${bare(us / 1e6)} s`
}

/** 4096 -> '4 KiB'. */
export function bytes(value: number): string {
  if (value < 1_024) return `${bare(value)} B`
  return value < 2 ** 20 ? `${bare(value / 1_024)} KiB` : `${bare(value / 2 ** 20)} MiB`
}

/** 65536 -> '65,536'. */
export const whole = (value: number): string =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')

const bare = (value: number): string => String(Number(value.toPrecision(3)))
