/**
 * The exploration itself: breadth first, each world once, until nothing new is left, a bound is
 * reached, or an invariant breaks; then the path to it is one of the shortest. What it finds is a
 * function of the scope, the bounds and the sources alone; only a budget looks at the clock.
 */
import { type Broken, type Lab, createLab } from './lab.ts'
import type { Scope } from './scope.ts'
import { createVisited, visit } from './visited.ts'
import { type Action, type World, actionsOf, firstWorld, isOrdered, linkOf, take } from './world.ts'

export interface SearchOptions {
  readonly depthMax: number
  readonly statesMax: number
  /** True when the time is over. */
  readonly isOver: () => boolean
}

export interface SearchResult {
  /** Different worlds. */
  readonly states: number
  /** Actions that were tried; those that change nothing count too. */
  readonly transitions: number
  /** Through this depth every world was looked at. */
  readonly depth: number
  /** Nothing is left: the scope holds no other world. */
  readonly isComplete: boolean
  /** Steps of a core: each (node, input) is run once. */
  readonly steps: number
  readonly nodes: number
  readonly perDepth: readonly number[]
  readonly broken: (Broken & { readonly path: readonly number[] }) | null
}

/** Where each world came from: its parent, and the place of the action among the parent's. */
interface Tree {
  readonly parents: number[]
  readonly places: number[]
}

export function search(scope: Scope, options: SearchOptions): SearchResult {
  const lab = createLab(scope)
  const visited = createVisited()
  const tree: Tree = { parents: [-1], places: [0] }
  const perDepth = [1]
  const root = firstWorld(lab)
  let layer: World[] = root.kind === 'world' ? [root.world] : []
  let first = 0 // number of the layer's first world
  let transitions = 0
  const result = (isComplete: boolean, broken: SearchResult['broken']): SearchResult => {
    const depth = perDepth.length - 1
    const { steps, nodes } = lab
    const states = tree.parents.length
    const found = { states, transitions, depth, isComplete, perDepth, broken }
    return { ...found, steps, nodes: nodes.values.length }
  }
  if (root.kind === 'broken') return result(false, { ...root.broken, path: [] })
  for (const world of layer) meet(lab, visited, world)
  while (layer.length > 0 && perDepth.length <= options.depthMax) {
    const next: World[] = []
    const nextFirst = tree.parents.length
    for (const [i, world] of layer.entries()) {
      if (tree.parents.length >= options.statesMax || options.isOver()) return result(false, null)
      for (const [place, action] of actionsOf(lab, world).entries()) {
        transitions += 1
        const step = take(lab, world, action)
        if (step.kind === 'same') continue
        if (step.kind === 'broken') {
          return result(false, { ...step.broken, path: [...pathOf(tree, first + i), place] })
        }
        if (!meet(lab, visited, step.world)) continue
        tree.parents.push(first + i)
        tree.places.push(place)
        next.push(step.world)
      }
    }
    if (next.length > 0) perDepth.push(next.length)
    layer = next
    first = nextFirst
  }
  return result(layer.length === 0, null)
}

function pathOf({ parents, places }: Tree, number: number): number[] {
  const path: number[] = []
  for (let at = number; parents[at]! >= 0; at = parents[at]!) path.push(places[at]!)
  return path.reverse()
}

/** The actions of a path, for people, until it ends or an invariant breaks. */
export function follow(
  lab: Lab,
  path: readonly number[],
  see: (world: World, action: Action, after: World | Broken) => void,
): Broken | null {
  const root = firstWorld(lab)
  if (root.kind !== 'world') return root.kind === 'broken' ? root.broken : null
  let { world } = root
  for (const place of path) {
    const action = actionsOf(lab, world)[place]
    if (action === undefined) return null
    const step = take(lab, world, action)
    if (step.kind === 'broken') {
      see(world, action, step.broken)
      return step.broken
    }
    const after = step.kind === 'same' ? world : step.world
    see(world, action, after)
    world = after
  }
  return null
}

// ---- Names of worlds -------------------------------------------------------------------------

const scratch: number[] = [] // packets; used within one call only

/** True when no world like it was met: not itself, nor with nodes of a kind exchanged. */
function meet(lab: Lab, visited: ReturnType<typeof createVisited>, world: World): boolean {
  let high = 0xffff_ffff
  let low = 0xffff_ffff
  for (let i = 0; i < lab.permutations.length; i++) {
    hashOf(lab, world, i)
    if (hash.high > high || (hash.high === high && hash.low >= low)) continue
    high = hash.high
    low = hash.low
  }
  return visit(visited, high, low)
}

const hash = { high: 0, low: 0 }

function hashOf(lab: Lab, { nodes, ghost, packets, left }: World, permutation: number): void {
  hash.high = 0x9e3779b9
  hash.low = 0x85ebca6b
  const names = lab.permutations[permutation]!
  const named = lab.nodes.names[permutation]!
  for (let place = 0; place < nodes.length; place++) mix(named[nodes[names[place + 1]! - 1]!]!)
  mix(lab.ghosts.names[permutation]![ghost]!)
  for (const count of left) mix(count)
  const { values, names: called } = lab.packets
  scratch.length = 0
  for (const packet of packets) scratch.push(packet)
  if (!isOrdered(lab)) scratch.sort((a, b) => called[permutation]![a]! - called[permutation]![b]!)
  else if (permutation > 0) {
    scratch.sort((a, b) => linkOf(values[a]!, names) - linkOf(values[b]!, names))
  }
  for (const packet of scratch) mix(called[permutation]![packet]!)
  hash.high = finish(hash.high)
  hash.low = finish(hash.low ^ hash.high)
}

function mix(value: number): void {
  hash.high = Math.imul(hash.high ^ value, 0x85ebca6b)
  hash.high = (hash.high << 13) | (hash.high >>> 19)
  hash.low = Math.imul(hash.low + value, 0xc2b2ae35)
  hash.low = (hash.low ^ (hash.low >>> 15)) + hash.high
}

function finish(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
