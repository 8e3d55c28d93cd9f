/**
 * verify: measures every promised figure and says which are kept. Rows run one after another; what
 * an interrupt leaves is marked partial. Trials are a parameter: tested without an engine.
 */
import { environmentOf } from '../environment.ts'
import { table } from '../report/text.ts'
import { digits, latency, perSecond } from '../report/units.ts'
import { checkDisk } from '../run-bench.ts'
import type { Environment, RunHooks, RunTrial } from '../types.ts'
import type { Figure } from './figure.ts'
import { type LabOptions, createLab } from './lab.ts'
import type { Row } from './rows.ts'
import type { RunSpike } from './spike.ts'

export interface VerifyResult {
  readonly schema: 'xpaxos-verify/1'
  readonly environment: Environment
  readonly rounds: number
  readonly durationS: number
  readonly figures: readonly Figure[]
  /** What the contract promises and this version cannot measure yet, with the reason. */
  readonly missing: readonly string[]
  readonly violations: readonly string[]
  readonly partial: boolean
}

export async function runVerify(
  rows: readonly Row[],
  options: LabOptions & { readonly missing?: readonly string[] },
  hooks: RunHooks,
  runTrial: RunTrial,
  spike?: RunSpike,
): Promise<VerifyResult> {
  checkDisk({ durability: 'fsync', allowTmpfs: false, dataDir: options.dataDir })
  const environment = environmentOf(options.dataDir ?? '.', new Date())
  const lab = createLab(options, hooks, runTrial, spike)
  const figures: Figure[] = []
  let isPartial = false
  for (const row of rows) {
    hooks.progress(row.name)
    try {
      figures.push(...(await row.run(lab)))
    } catch (error) {
      if (!hooks.signal.aborted) throw error
      isPartial = true
      break
    }
  }
  return {
    schema: 'xpaxos-verify/1',
    environment,
    rounds: options.rounds,
    durationS: options.durationS,
    figures,
    missing: options.missing ?? [],
    violations: lab.violations,
    partial: isPartial,
  }
}

/** The table: one line a figure, those that are not kept marked. */
export function verifyText({ figures, missing, violations, partial }: VerifyResult): string {
  const head = ['figure', 'promised', 'median', 'min', 'max', 'kept', 'note']
  const rows = figures.map(({ claim, name, spread, unit, isKept, note }) => {
    const show = (value: number): string => shown(value, unit)
    const kept = isKept ? 'yes' : 'NO'
    return [name, claim, show(spread.median), show(spread.min), show(spread.max), kept, note]
  })
  const notes = missing.map((text) => `not measured: ${text}\n`).join('')
  const end = partial ? 'interrupted: the result is partial\n' : ''
  const broken = violations.map((text) => `SAFETY VIOLATION: ${text}\n`).join('')
  return broken + table([head, ...rows]) + `\n${notes}${end}`
}

function shown(value: number, unit: Figure['unit']): string {
  if (unit === 'perS') return perSecond(value)
  return unit === 'us' ? latency(value) : digits(value)
}

export const isVerified = ({ figures, violations, partial }: VerifyResult): boolean =>
  !partial && violations.length === 0 && figures.every(({ isKept }) => isKept)
