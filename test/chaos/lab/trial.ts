/**
 * One run of the fixed script with one fault at one call of one node, and what must hold behind it:
 * everything acknowledged is there, every read was right, every directory is whole, and a node of
 * its own has acknowledged only what the trace proves to be synced.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ReplicaError, hasCode } from '../../../src/base/errors.ts'
import type { MemberOptions } from '../../../src/engine/index.ts'
import { inspectWal, scanLog } from '../../../src/wal/inspect.ts'
import { openStorage } from '../../../src/wal/storage-fs.ts'
import { type Route, createRoute, runSteps } from './client.ts'
import { type Cluster, createCluster } from './cluster.ts'
import { lastDurable } from './durable.ts'
import { type History, createHistory, judge } from './history.ts'
import { type Exit, type NodeProcess, startProcess } from './process.ts'
import { type Step, scriptOf } from './script.ts'
import { type Point, type TracedCall, callsOf, failingAt, killingAt, watching } from './strace.ts'

export type Fault = 'KILL' | 'EIO' | 'ENOSPC'

/** One node, or three with a Logger, which trims and recycles while the others keep all. */
export const MEMBERS: Readonly<Record<1 | 3, readonly MemberOptions[]>> = {
  1: [{ id: 1 }],
  3: [{ id: 1, weight: 9 }, { id: 2 }, { id: 3, role: 'logger' }],
}
const LOGGER_TUNING = { loggerBytesMax: 2 ** 21, laggardBytesMax: 0, retainBytes: 0 }
const FORMATION_MS = 120_000
const ENDS_MS = 60_000

export interface TrialOptions {
  readonly folder: string
  readonly nodes: 1 | 3
  /** The node that the fault comes to. */
  readonly victim: number
  /** Null: none, to count the calls. */
  readonly point: Point | null
  readonly fault: Fault
  /** Processes for nodes without a fault, one a member; they live on. */
  readonly hosts: readonly NodeProcess[]
}

export interface Trial {
  /** Whether the call was ever made. */
  readonly isReached: boolean
  readonly acknowledged: number
  readonly calls: readonly TracedCall[]
  /** Of the victim: how it ended, or what its failed calls said. */
  readonly end: string
  /** Empty: all held. */
  readonly problems: readonly string[]
}

interface Run extends TrialOptions {
  readonly cluster: Cluster
  readonly history: History
  readonly problems: string[]
  readonly process: NodeProcess
  /** Greatest acknowledged index. */
  last: number
  acknowledged: number
  /** What the victim's open or close was refused with. */
  refused: string | null
  isClosed: boolean
}

export const openHosts = (nodes: 1 | 3): Promise<NodeProcess[]> =>
  Promise.all(MEMBERS[nodes].map(() => startProcess()))

export async function runTrial(options: TrialOptions): Promise<Trial> {
  const { folder, nodes, victim } = options
  const log = join(folder, 'trace')
  const members = MEMBERS[nodes]
  const tuning = nodes === 3 ? LOGGER_TUNING : {}
  const cluster = await createCluster({ folder, members, seed: 1, tuning, layout: 'inline' })
  const dir = cluster.dirOf(victim)
  const process = await startProcess(aroundOf(options, log, dir))
  const start = { last: 0, acknowledged: 0, refused: null, isClosed: false, problems: [] }
  const run: Run = { ...options, ...start, cluster, history: createHistory(), process }
  try {
    await runScript(run)
    // What has failed ends by itself, and soon; what has not is at its end.
    if (process.failure !== null) await Promise.race([process.exited, sleep(ENDS_MS)])
    process.signal('SIGKILL')
    const exit = await process.exited
    const calls = callsOf(log, dir)
    const isReached = options.point !== null && isReachedIn(options, exit, calls, run)
    checkEnd(run, exit, calls, isReached)
    checkDirs(run, calls)
    await checkAfterwards(run)
    const end = run.refused ?? process.failure?.message ?? exit.signal ?? `status ${exit.code}`
    return { isReached, acknowledged: run.acknowledged, calls, end, problems: run.problems }
  } finally {
    process.signal('SIGKILL')
    for (const host of options.hosts) await host.ask('kill', null).catch(ignoreClosed)
    for (const proxy of cluster.proxies) proxy.close()
  }
}

function aroundOf({ point, fault }: TrialOptions, log: string, dir: string): string[] {
  if (point === null) return watching(log)
  if (fault === 'KILL') return killingAt(log, dir, point)
  return failingAt(log, dir, point, fault)
}

/**
 * Half of the script, then the victim ends as in a crash within its process and opens again, so
 * that recovery is part of what the fault can come to; then the other half, and an orderly close.
 */
async function runScript(run: Run): Promise<void> {
  const { cluster, victim, process, hosts } = run
  for (const id of cluster.ids) if (id !== victim) await cluster.start(id, hosts[id - 1])
  const isUp = (): boolean => process.isAlive && run.refused === null && process.failure === null
  await attempt(run, () => cluster.start(victim, process))
  const isOver = (): boolean => cluster.ids.length === 1 && !isUp()
  const running = (): NodeProcess[] => cluster.running().filter((one) => one !== process || isUp())
  const route = createRoute({ running, isOver })
  if (!(await isFormed(running, isUp))) return
  await steps(run, route, 0, 0.5)
  if (isUp()) {
    await attempt(run, () => process.ask('kill', null))
    await attempt(run, () => cluster.start(victim, process))
  }
  await steps(run, route, 0.5, 1)
  if (isUp()) await attempt(run, () => process.ask('close', null))
  run.isClosed = isUp()
}

/** A first formation needs all members: false when the victim has ended before. */
async function isFormed(running: () => NodeProcess[], isUp: () => boolean): Promise<boolean> {
  const until = performance.now() + FORMATION_MS
  while (isUp()) {
    const asked = running().map((process) => process.ask('status', null).catch(() => null))
    if ((await Promise.all(asked)).some((status) => status?.leads)) return true
    if (performance.now() > until) throw new Error('no leader was ever elected')
    await sleep(5)
  }
  return false
}

/** What the fault makes of opening and closing is an end like any other. */
async function attempt(run: Run, call: () => Promise<unknown>): Promise<void> {
  if (run.refused !== null || !run.process.isAlive) return
  try {
    await call()
  } catch (error) {
    if (!(error instanceof ReplicaError)) throw error
    run.refused = error.message
  }
}

async function steps(run: Run, route: Route, from: number, to: number): Promise<void> {
  const { history } = run
  const onAcknowledged = (index: number): void => {
    run.acknowledged++
    run.last = Math.max(run.last, index)
  }
  const part = (all: readonly Step[]): Step[] => all.slice(from * all.length, to * all.length)
  const clients = scriptOf().map((all) => runSteps({ history, route, onAcknowledged }, part(all)))
  await Promise.all(clients)
}

function isReachedIn(
  { fault }: TrialOptions,
  { signal }: Exit,
  calls: readonly TracedCall[],
  { isClosed, refused }: Run,
): boolean {
  if (fault !== 'KILL') return calls.some(({ isInjected }) => isInjected)
  // What was closed in order is killed as well, and what was refused.
  return signal === 'SIGKILL' && !isClosed && !(refused?.startsWith('E_DISK') ?? false)
}

/** An error ends the node and its process, and is the last call to the disk. */
function checkEnd(
  { fault, process, refused, problems }: Run,
  { code, signal }: Exit,
  calls: readonly TracedCall[],
  isReached: boolean,
): void {
  if (fault === 'KILL' || !isReached) {
    if (process.failure !== null) problems.push(`failed by itself: ${process.failure.message}`)
    return
  }
  const { failure } = process
  if (refused === null && failure?.code !== 'E_DISK') {
    problems.push(`did not end by ${fault}: status ${code}, signal ${signal}`)
  }
  if (failure !== null && code !== 1) problems.push(`exit status ${code} after a failure`)
  const at = calls.findIndex(({ isInjected }) => isInjected)
  const later = calls.slice(at + 1).find(({ call, text }) => isPromise(call) && /\.seg/.test(text))
  if (later !== undefined) problems.push(`after the failed call: ${later.text}`)
}

const isPromise = (call: string): boolean => /^(pwrite|fdatasync)/.test(call)

/** What `xpaxos wal verify` reads. A directory that was never begun has nothing to lose. */
function checkDirs({ cluster, victim, problems, last, nodes }: Run, calls: readonly TracedCall[]) {
  for (const id of cluster.ids) {
    const found = lastWhole(cluster.dirOf(id))
    if (typeof found === 'string') problems.push(`node ${id}: ${found}`)
    else if (nodes === 1 && found < last) problems.push(`${last} is acknowledged, ${found} is last`)
  }
  if (nodes !== 1 || last === 0) return
  const durable = lastDurable(cluster.dirOf(victim), calls)
  if (durable < last) problems.push(`${last} is acknowledged, and only ${durable} was synced`)
}

/** The last index of a directory that is whole; a text names its damage. */
export function lastWhole(dir: string): number | string {
  const storage = openStorage()
  try {
    inspectWal(storage, dir, () => undefined)
    return scanLog(storage, dir, () => undefined).last
  } catch (error) {
    if (hasCode(error, 'E_DATA_DIR') && error.detail.problem === 'no data directory') return 0
    return error instanceof Error ? error.message : String(error)
  }
}

/** All nodes start again, and each shows everything. */
async function checkAfterwards(run: Run): Promise<void> {
  const { cluster, history, victim, hosts, problems } = run
  await cluster.start(victim, hosts[victim - 1])
  const route = createRoute({ running: () => cluster.running() })
  const written = { f: 'put', key: 'afterwards', value: 1, padBytes: 0 } as const
  await runSteps({ history, route }, [written])
  const dumps = await Promise.all(readersOf(run).map((reader) => readAll(history, reader)))
  if (new Set(dumps).size > 1) problems.push(`states differ: ${dumps.join(' | ')}`)
  const verdict = judge(history)
  if (verdict !== null) problems.push(verdict)
  for (const id of cluster.ids) await hosts[id - 1]!.ask('close', null)
  for (const id of cluster.ids) {
    const found = lastWhole(cluster.dirOf(id))
    if (typeof found === 'string') problems.push(`node ${id}, closed in order: ${found}`)
  }
}

/** One route a node that keeps state. */
const readersOf = ({ cluster, nodes }: Run): Route[] =>
  MEMBERS[nodes]
    .filter(({ role }) => role !== 'logger')
    .map(({ id }) => createRoute({ running: () => [cluster.processOf(id)!] }))

/** Reads each key into the history. @returns all that the node holds */
export async function readAll(history: History, route: Route): Promise<string> {
  const process = history.newProcess()
  const keys = new Set(history.operations.map(({ key }) => key))
  for (const key of keys) {
    await history.record(process, { f: 'get', key, value: null }, () => route.ask('read', { key }))
  }
  return JSON.stringify(await route.ask('read', {}))
}

function ignoreClosed(error: unknown): void {
  if (!(error instanceof ReplicaError)) throw error
}
