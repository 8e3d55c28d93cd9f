/**
 * Options about the members of a cluster: their values (weights, forced nodes, sources, quorum
 * sizes), from the command line or a config file, and what they must be together. Pure.
 */
import { membershipOf, membershipProblem, votersOf } from '../src/core/membership.ts'
import { firstMembersOf } from './engines/options-of.ts'
import type { EngineName, LoadConfig, QuorumSizes, SourceOf } from './types.ts'

const NODE_MAX = 9
const WEIGHT_MAX = 9

const partsOf = (source: unknown): unknown[] =>
  typeof source === 'string' ? source.split(',').map((part) => part.trim()) : asList(source)
const asList = (source: unknown): unknown[] => (Array.isArray(source) ? (source as unknown[]) : [])

/** An integer in a range, also as text; undefined: it is none. */
function numberIn(source: unknown, min: number, max: number): number | undefined {
  const value = typeof source === 'string' && /^\d+$/.test(source) ? Number(source) : source
  const fits = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
  return fits ? value : undefined
}

const nodeOf = (source: unknown): number | undefined =>
  numberIn(typeof source === 'string' ? source.replace(/^n/, '') : source, 1, NODE_MAX)

/** All of them or undefined. */
function all<Value>(values: readonly (Value | undefined)[]): Value[] | undefined {
  const found = values.filter((value) => value !== undefined)
  return found.length === values.length && found.length > 0 ? found : undefined
}

export const weightsOf = (source: unknown): number[] | undefined =>
  all(partsOf(source).map((part) => numberIn(part, 0, WEIGHT_MAX)))

/** An empty list is what a result says of no forced node. */
export function nodesOf(source: unknown): number[] | undefined {
  const parts = partsOf(source)
  return Array.isArray(source) && parts.length === 0 ? [] : all(parts.map(nodeOf))
}

export function sourcesOf(source: unknown): SourceOf[] | undefined {
  const parts = partsOf(source)
  return Array.isArray(source) && parts.length === 0 ? [] : all(parts.map(sourceOf))
}

function sourceOf(part: unknown): SourceOf | undefined {
  const [left, right] = typeof part === 'string' ? part.split('=') : pairOf(part)
  const node = nodeOf(left)
  const source = nodeOf(right)
  return node === undefined || source === undefined ? undefined : { node, source }
}

function pairOf(part: unknown): unknown[] {
  const { node, source } = (part ?? {}) as { node?: unknown; source?: unknown }
  return [node, source]
}

export function quorumsOf(source: unknown): QuorumSizes | undefined {
  const given = (source ?? {}) as { prepare?: unknown; accept?: unknown }
  const parts = typeof source === 'string' ? partsOf(source) : [given.prepare, given.accept]
  const [prepare, accept] = parts.map((part) => numberIn(part, 1, NODE_MAX))
  if (parts.length !== 2 || prepare === undefined || accept === undefined) return undefined
  return { prepare, accept }
}

/** Whether they make a membership that the engine would start with. */
export function checkMembers(load: LoadConfig, problems: string[]): void {
  const { nodes, roles, weights, forced, sources, quorums } = load
  const known = problems.length
  if (weights !== null && weights.length !== nodes)
    problems.push(`--weights: want one for each node (--nodes ${nodes}), not ${weights.length}`)
  else if (weights?.some((weight, place) => isElectable(load, place) && weight > weights[0]!))
    problems.push('--weights: node 1 leads (--roles): want no weight above its own')
  const isLearner = (node: number): boolean => roles[node - 1] === 'learner'
  for (const node of forced)
    if (node > nodes || isLearner(node))
      problems.push(`--forced: n${node} is no voter (--nodes, --roles)`)
  for (const { node } of sources)
    if (!isLearner(node)) problems.push(`--sources: n${node} is no learner (--roles)`)
  if (problems.length > known || roles.length !== nodes || roles[0] !== 'leader') return
  const membership = membershipOf(firstMembersOf(load), quorums ?? {})
  const problem = membershipProblem(membership)
  if (problem === null) return
  const voters = votersOf(membership).length
  const flag = /^source|source:/.test(problem) ? '--sources' : quorums ? '--quorums' : '--weights'
  problems.push(`${flag}: ${problem} (of ${voters} voters)`)
}

const isElectable = ({ roles }: LoadConfig, place: number): boolean =>
  roles[place] === 'leader' || roles[place] === 'follower'

/** A single benchmark refuses what its engine would ignore. */
export function checkMembersOf(engine: EngineName, load: LoadConfig, problems: string[]): void {
  if (engine !== 'basic-paxos' && engine !== 'limit') return
  const { weights, forced, sources, quorums, roles } = load
  if (weights !== null) problems.push(`--weights: ${engine} elects no leader`)
  if (forced.length > 0) problems.push(`--forced: ${engine} has no forced members`)
  if (sources.length > 0) problems.push(`--sources: ${engine} feeds no learners by others`)
  if (quorums !== null) problems.push(`--quorums: ${engine} has majorities only`)
  if (roles.includes('learner')) problems.push(`--roles: ${engine} is measured without learners`)
}
