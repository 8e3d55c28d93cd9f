/**
 * One exploration, or one of its paths again, as a task of a worker: plain data in and out. The
 * chart has one column a node; its times are numbers of actions.
 */
import { chartOf } from '../chart.ts'
import { ballotText, describeMessage } from '../describe.ts'
import type { TraceLine } from '../trace.ts'
import { type Broken, type Lab, createLab } from './lab.ts'
import { type Scope, scopeIn } from './scope.ts'
import { type SearchResult, follow, search } from './search.ts'
import type { Action, World } from './world.ts'

export interface ExploreTask {
  /** As scope.ts writes it; it was checked. */
  readonly scope: string
  readonly depthMax: number
  readonly statesMax: number
  readonly budgetS: number | null
}

export interface ExploreResult extends Omit<SearchResult, 'broken'> {
  readonly schema: 'xpaxos-explore/1'
  readonly scope: string
  /** One of the shortest ways to break an invariant, as places in the lists of actions. */
  readonly violation: (Broken & { readonly path: readonly number[]; readonly chart: string }) | null
  readonly durationS: number
}

export interface PathTask {
  readonly scope: string
  readonly path: readonly number[]
}

export interface PathResult {
  readonly chart: string
  readonly violation: Broken | null
}

export function runExploration(task: ExploreTask): ExploreResult {
  const { depthMax, statesMax, budgetS } = task
  const started = performance.now()
  const elapsedS = (): number => (performance.now() - started) / 1_000
  const isOver = (): boolean => budgetS !== null && elapsedS() >= budgetS
  const { broken, ...counts } = search(scopeOf(task.scope), { depthMax, statesMax, isOver })
  const chart = broken === null ? '' : runPath({ ...task, path: broken.path }).chart
  return {
    schema: 'xpaxos-explore/1',
    scope: task.scope,
    ...counts,
    violation: broken === null ? null : { ...broken, chart },
    durationS: Math.round(10 * elapsedS()) / 10,
  }
}

export function runPath({ scope, path }: PathTask): PathResult {
  const lab = createLab(scopeOf(scope))
  const lines: TraceLine[] = []
  let count = 0
  const violation = follow(lab, path, (before, action, after) => {
    const atUs = 1_000 * ++count
    lines.push({ atUs, ...lineOf(lab, before, action) })
    if ('nodes' in after) noteLeaders(lab, before, after, lines)
    else lines.push({ atUs, from: action.node, to: -1, text: after.message })
  })
  return { chart: chartOf(lab.scope.members, lines), violation }
}

function scopeOf(text: string): Scope {
  const scope = scopeIn(text)
  if ('problem' in scope) throw new Error(scope.problem)
  return scope
}

function lineOf(lab: Lab, world: World, action: Action): Omit<TraceLine, 'atUs'> {
  const { node } = action
  const at = (text: string): Omit<TraceLine, 'atUs'> => ({ from: node, to: -1, text })
  const { unsynced, reads, leading } = lab.nodes.values[world.nodes[node]!]!
  switch (action.kind) {
    case 'deliver':
    case 'repeat': {
      const { from, to, message, frames } = lab.packets.values[world.packets[action.at]!]!
      const again = action.kind === 'repeat' ? ', and will come again' : ''
      return { from, to, text: describeMessage(message, frames) + again }
    }
    case 'sync':
      return at(`durable: ${unsynced.map(({ record }) => record.kind).join(', ')}`)
    case 'read':
      return at(`reads ${reads[0]!.from} to ${reads[0]!.through} from its disk`)
    case 'submit':
      return at(`a client submits ${leading!.next}`)
    case 'stand':
      return at('stands for leader')
    case 'round':
      return at('asks again, and tells what is chosen')
    case 'crash': {
      const kept = unsynced.slice(0, action.kept).map(({ record }) => record.kind)
      const survivors = kept.length > 0 ? kept.join(', ') : 'nothing'
      return at(`power loss: of ${unsynced.length} records not synced ${survivors} survives`)
    }
  }
}

function noteLeaders(lab: Lab, before: World, after: World, lines: TraceLine[]): void {
  const ballotAt = (world: World, place: number): number =>
    lab.nodes.values[world.nodes[place]!]!.leading?.ballot ?? 0
  for (let place = 0; place < after.nodes.length; place++) {
    const ballot = ballotAt(after, place)
    if (ballot === ballotAt(before, place)) continue
    const text = ballot === 0 ? 'leads no more' : `LEADS ballot ${ballotText(ballot)}`
    lines.push({ atUs: lines.at(-1)!.atUs, from: place, to: -1, text })
  }
}
