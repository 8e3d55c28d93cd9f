/**
 * Shows that the simulator would catch us: each mutant is run over up to 2,000 schedules, in an
 * order that is the same for all, until the first violation. What it finds is a function of the
 * sources alone.
 */
import { type SimResult, replayLine, runCampaign } from './campaign.ts'
import type { ClassName } from './classes.ts'
import type { InvariantId } from './invariants.ts'
import type { Mutant } from './mutants.ts'

export interface MutantResult {
  readonly mutant: string
  readonly expected: InvariantId
  readonly found: InvariantId | null
  /** The found invariant is one that the mutant must break. */
  readonly asExpected: boolean
  readonly schedules: number
  readonly killingSeed: number | null
  readonly class: string | null
  readonly replay: string | null
}

export const SCHEDULES_MAX = 2_000

interface Leg {
  readonly className: ClassName | null
  readonly from: number
  readonly to: number
}

/** Short schedules first, then what every seed draws for itself, then more of both. */
const LEGS: readonly Leg[] = [
  { className: 'micro', from: 1, to: 200 },
  { className: null, from: 1, to: 100 },
  { className: 'micro', from: 201, to: 1_000 },
  { className: null, from: 101, to: 1_000 },
]

function legsOf({ classes }: Mutant): readonly Leg[] {
  if (classes === undefined) return LEGS
  const share = Math.floor(SCHEDULES_MAX / classes.length)
  return classes.map((className) => ({ className, from: 1, to: share }))
}

export async function runMutant(mutant: Mutant, workers: number): Promise<MutantResult> {
  const { name, invariant, also = [] } = mutant
  let schedules = 0
  for (const { className, from, to } of legsOf(mutant)) {
    const result = await firstKill({ className, from, to }, name, workers)
    const [failure] = result.failures
    if (failure === undefined) {
      schedules += to - from + 1
      continue
    }
    const found = failure.invariant
    return {
      mutant: name,
      expected: invariant,
      found,
      asExpected: found === invariant || also.includes(found),
      schedules: schedules + failure.seed - from + 1,
      killingSeed: failure.seed,
      class: failure.class,
      replay: replayLine(failure, { mutant: name }),
    }
  }
  const none = { found: null, asExpected: false, killingSeed: null, class: null, replay: null }
  return { mutant: name, expected: invariant, schedules, ...none }
}

const firstKill = (leg: Leg, mutant: string, workers: number): Promise<SimResult> =>
  runCampaign({ ...leg, mutant, workers, budgetS: null, stopAtFirst: true })
