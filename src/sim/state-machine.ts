/**
 * `xpaxos/sim`: your own state machine under the simulator. Each simulated node applies the chosen
 * log to two instances of it, through crashes, replays and changes of leader, and all that applied
 * the same prefix must have the same hash. `Date.now` and `Math.random` throw during apply, because
 * what they return differs from node to node.
 *
 *     const report = simulateStateMachine({
 *       create: () => new Counter(),
 *       payload: (below) => encode(below(100)),
 *     })
 *
 * Runs in the caller's thread, one seed after the other; the machine must have `hash`.
 */
import type { ApplyBatch, StateMachine } from '../base/state-machine.ts'
import { FRAME_KIND, createFrameHeader, readFrameHeader } from '../codec/frame.ts'
import { createFrameBatch } from '../stages/frame-batch.ts'
import { CLASS_NAMES, type ClassName, planOf } from './classes.ts'
import type { Frame } from './frames.ts'
import { below, createRandom } from './random.ts'
import { runPlan } from './run.ts'
import type { Hooks } from './world.ts'

export { CLASS_NAMES, type ClassName } from './classes.ts'

export interface StateMachineOptions {
  /** A new machine in its first state; called twice a node and life. */
  create(): StateMachine
  /** One command; `below(n)` is a seeded integer in [0, n). */
  payload(below: (limit: number) => number): Uint8Array
  /** Both ends included; default 1 to 20. */
  readonly seeds?: readonly [from: number, to: number]
  /** Default: crash. */
  readonly className?: Exclude<ClassName, 'basic-paxos'>
}

export interface StateMachineReport {
  readonly schedules: number
  /** Commands that were applied, replays and both instances counted. */
  readonly applied: number
  /** What went wrong, with its seed; empty: nothing. */
  readonly problems: readonly string[]
}

interface Replica {
  machine: StateMachine
  twin: StateMachine
  through: number
  /** Frames of a group whose end has not come yet (R38). */
  group: Frame[]
}

const HASH_EVERY = 64

/** @throws RangeError for a class that there is not */
export function simulateStateMachine(options: StateMachineOptions): StateMachineReport {
  const { seeds = [1, 20], className = 'crash' } = options
  if (!CLASS_NAMES.includes(className)) throw new RangeError(`no class ${String(className)}`)
  const problems: string[] = []
  let applied = 0
  for (let seed = seeds[0]; seed <= seeds[1]; seed++) {
    const plan = planOf(seed, className)
    const run = replicasOf(options, seed)
    const { violation } = runPlan(plan, { hooks: run.hooks })
    applied += run.counts.applied
    for (const problem of run.problems) problems.push(`seed ${seed}: ${problem}`)
    const isOurs = violation !== null && run.problems.length === 0
    if (isOurs) problems.push(`seed ${seed}: ${violation.message}`)
  }
  return { schedules: seeds[1] - seeds[0] + 1, applied, problems }
}

function replicasOf(options: StateMachineOptions, seed: number) {
  const replicas: Replica[] = []
  /** Hash by index, as the first replica to get there had it. */
  const hashes = new Map<number, string>()
  const problems: string[] = []
  const counts = { applied: 0 }
  const random = createRandom(seed)
  const fail = (problem: string): never => {
    problems.push(problem)
    throw new Error(problem)
  }
  const hashOf = (machine: StateMachine): string =>
    machine.hash?.() ?? fail('the state machine has no hash()')
  const compare = (node: number, { machine, twin, through }: Replica): void => {
    const hash = hashOf(machine)
    if (hash !== hashOf(twin)) fail(`two instances of node ${node + 1} differ at ${through}`)
    const known = hashes.get(through)
    if (known === undefined) hashes.set(through, hash)
    else if (known !== hash) fail(`node ${node + 1} differs from another at ${through}`)
  }
  const execute = ({ machine, twin }: Replica, frame: Frame): void => {
    try {
      trapped(() => machine.apply(batchOf(frame)))
      trapped(() => twin.apply(batchOf(frame)))
    } catch (error) {
      fail(`apply of ${frame.first}: ${error instanceof Error ? error.message : 'a throw'}`)
    }
    counts.applied += 2 * frame.count
  }
  const hooks: Hooks = {
    payload: () => options.payload((limit) => below(random, limit)),
    restarted(node) {
      const [machine, twin] = [options.create(), options.create()]
      replicas[node] = { machine, twin, through: 0, group: [] }
    },
    applied(node, frames) {
      const replica = replicas[node]!
      for (const frame of frames) {
        replica.through = frame.through
        if (saysNothing(frame)) continue
        for (const one of takeFrame(replica, frame)) execute(replica, one)
        // The same places on every node, however it cuts its batches.
        if (frame.serial % HASH_EVERY === 0) compare(node, replica)
      }
    },
  }
  return { hooks, problems, counts }
}

/** Of the protocol, and no end of a group. */
const saysNothing = ({ kind }: Frame): boolean =>
  kind === FRAME_KIND.config || kind === FRAME_KIND.empty

/** The frames that take effect now: a group with its end, none of it if that is an abort. */
function takeFrame(replica: Replica, frame: Frame): readonly Frame[] {
  const group = frame.kind === FRAME_KIND.abort ? [] : [...replica.group, frame]
  replica.group = frame.continues ? group : []
  return frame.continues ? [] : group
}

/** Time and chance of the machine are out of reach while `call` runs. */
function trapped(call: () => void): void {
  const { now } = Date
  const { random } = Math
  Date.now = () => {
    throw new Error('Date.now in apply: the state would differ from node to node')
  }
  Math.random = () => {
    throw new Error('Math.random in apply: the state would differ from node to node')
  }
  try {
    call()
  } finally {
    Date.now = now
    Math.random = random
  }
}

/** The entries of one frame, as the apply stage gives them. */
function batchOf({ bytes, view, offset, sizeBytes, first }: Frame): ApplyBatch {
  const header = createFrameHeader()
  readFrameHeader(bytes, view, offset, offset + sizeBytes, header)
  const batch = createFrameBatch()
  batch.enter({ bytes, view, words: new Int32Array(view.buffer) }, offset, first, header, null)
  return batch
}
