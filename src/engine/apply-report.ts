/** What the apply stage of a node has done, told when it ends. Pure. */
import type { StateMachine } from '../base/state-machine.ts'
import type { ApplyCheck } from '../stages/apply-check.ts'

/** What a thread tells when it ends, for the verdict of the benchmarks. */
export interface ApplyReport {
  readonly stateHash: string
  readonly entries: number
  readonly duplicates: number
  readonly gaps: number
  readonly clients: readonly {
    readonly id: number
    readonly through: number
    readonly fold: number
  }[]
}

export function reportOf(machine: StateMachine, check: ApplyCheck): ApplyReport {
  const { entries, duplicates, gaps } = check
  const clients = [...check.clients].map(([id, { next, fold }]) => ({
    id,
    through: next - 1,
    fold,
  }))
  return { stateHash: machine.hash?.() ?? '', entries, duplicates, gaps, clients }
}
