/** What a run on the stages of production has beside the world of every run. */
import type { Callers } from './caller.ts'
import { createCallers, pump } from './callers.ts'
import { type Chronicle, createChronicle } from './chronicle.ts'
import { type FaultyStorage, createFaultyStorage } from './faulty-storage.ts'
import { type FrameBook, createFrameBook } from './frame-book.ts'
import { type StagePlan, nodesOf } from './plan.ts'
import type { StageLife } from './stage-life.ts'
import type { World } from './world.ts'

export interface StageNode {
  readonly storage: FaultyStorage
  /** Null while the node is down. */
  life: StageLife | null
  /** How often it was paused or suspended. */
  sleeps: number
  suspendedUntilUs: number
  /** So long it will sleep as soon as it grants a read by lease; 0: it will not. */
  dozeUs: number
  /** As its core was told last. */
  applied: number
  /** The longest that a message took to it, from its sender's link to its inbox. */
  flightUs: number
  /** Reads that got an index by lease -> `sleeps` at that moment. */
  readonly leaseReads: Map<number, number>
}

export interface StageWorld {
  readonly plan: StagePlan
  readonly book: FrameBook
  readonly chronicle: Chronicle
  /** Of state machines, by index; of session tables likewise. */
  readonly hashes: Map<number, string>
  readonly tables: Map<number, number>
  readonly callers: Callers
  /** By place. */
  readonly nodes: StageNode[]
}

/** Null: the plan is one for bare cores. */
export function createStageWorld<M>(world: World<M>): StageWorld | null {
  const { stages: plan, chanceSeed } = world.plan
  if (plan === null) return null
  const chronicle = createChronicle(plan.sessions)
  const stages: StageWorld = {
    plan,
    book: createFrameBook(),
    chronicle,
    hashes: new Map(),
    tables: new Map(),
    callers: createCallers(plan.callers, chronicle, chanceSeed),
    nodes: nodesOf(world.plan).map(({ id }) => ({
      storage: createFaultyStorage(chanceSeed + 31 * id),
      ...{
        life: null,
        sleeps: 0,
        suspendedUntilUs: 0,
        dozeUs: 0,
        applied: 0,
        flightUs: 0,
        leaseReads: new Map(),
      },
    })),
  }
  stages.callers.onFree = (caller) => pump(world, stages, caller)
  return stages
}
