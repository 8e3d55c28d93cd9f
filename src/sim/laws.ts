/**
 * Laws of delay: constant, uniform, heavy tail. Integers and tables only, because logarithms and
 * powers may differ between versions of V8. Pure.
 */
import { type Random, below, next } from './random.ts'

export interface Law {
  readonly kind: 'const' | 'uniform' | 'tail'
  readonly lowUs: number
  readonly highUs: number
}

export const constant = (us: number): Law => ({ kind: 'const', lowUs: us, highUs: us })
export const uniform = (lowUs: number, highUs: number): Law => ({ kind: 'uniform', lowUs, highUs })
/** Mostly near `lowUs`; one of 256 takes 64 times (highUs - lowUs) more. */
export const tail = (lowUs: number, highUs: number): Law => ({ kind: 'tail', lowUs, highUs })

/** 64ths of the span at quantile i / 256: 1 / (1 - q) - 1, by integers, cut at 64 spans. */
const TAIL = Array.from({ length: 256 }, (_, i) =>
  Math.min(64 * 64, Math.floor((256 * 64) / (256 - i)) - 64),
)

export function drawUs(law: Law, random: Random): number {
  const { lowUs, highUs } = law
  switch (law.kind) {
    case 'const':
      return lowUs
    case 'uniform':
      return lowUs + below(random, highUs - lowUs + 1)
    case 'tail':
      return lowUs + Math.floor(((highUs - lowUs) * TAIL[next(random) & 255]!) / 64)
  }
}
