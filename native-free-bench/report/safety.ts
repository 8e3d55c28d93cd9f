/**
 * A trial's safety figures in words: what was promised and did not hold. A count that a writer
 * forgot to turn into a violation is one here. Pure.
 */
import type { TrialResult } from '../types.ts'

export function violationsOf(trial: TrialResult, label: string): string[] {
  const { entries, safety } = trial
  const found = [...safety.violationDetails]
  const unexplained = safety.violations - safety.violationDetails.length
  if (unexplained > 0) found.push(`${unexplained} more violations`)
  if (safety.entriesLost > 0) found.push(`${safety.entriesLost} acknowledged entries lost`)
  if (safety.duplicates > 0) found.push(`${safety.duplicates} entries applied twice`)
  if (!safety.stateHashesEqual) found.push('state hashes of the data nodes differ')
  if (safety.checkedEntries !== entries)
    found.push(`${safety.checkedEntries} entries checked of ${entries} acknowledged`)
  return found.map((text) => `${label}: ${text}`)
}
