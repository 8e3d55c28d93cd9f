/**
 * What can happen to a running cluster within a round: each fault begins, and has an end that the
 * round calls before it looks at what is left. Drawn by a seed; when within a millisecond it hits
 * is up to the machine.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import type { Random } from './random.ts'
import { failingLater, straceMissing } from './strace.ts'

export interface FaultScene {
  readonly cluster: Cluster
  readonly random: Random
  readonly folder: string
  /** Members that this round has done something to: no second fault comes to them. */
  readonly hit: Set<number>
  /** Members whose disk fails: they end by themselves, with exit status 1. */
  readonly failing: Set<number>
}

/** Resolves when the fault is over, and nothing of it goes on. */
export type Ending = () => Promise<void>

type FaultName =
  | 'kill-one'
  | 'kill-several'
  | 'kill-all'
  | 'pause'
  | 'EIO'
  | 'ENOSPC'
  | 'cut'
  | 'isolate'
  | 'hold'
  | 'delay'
  | 'flip'

const DISK_CALLS = ['fdatasync', 'pwritev', 'pwrite64', 'fdatasync,pwritev,pwrite64'] as const
const DISK_CALLS_MAX = 20
const PAUSE_MAX_MS = 1_500
const DELAY_MAX_MS = 80
const FLIPS = 3
const FLIP_EVERY_MS = 30

export const FAULTS: Readonly<Record<FaultName, (scene: FaultScene) => Ending>> = {
  'kill-one': (scene) => killSome(scene, 1),
  'kill-several': (scene) => killSome(scene, 2 + scene.random.under(scene.cluster.ids.length - 2)),
  'kill-all': (scene) => killSome(scene, scene.cluster.ids.length),
  pause: ({ cluster, random, hit }) => {
    const process = victims(cluster, random, hit, 1)[0]
    process?.signal('SIGSTOP')
    const ms = random.under(PAUSE_MAX_MS)
    const awake = sleep(ms).then(() => process?.signal('SIGCONT'))
    return () => awake
  },
  EIO: (scene) => failDisk(scene, 'EIO'),
  ENOSPC: (scene) => failDisk(scene, 'ENOSPC'),
  cut: ({ cluster, random }) => {
    const proxy = random.pick(cluster.proxies)
    proxy.cut()
    return async () => proxy.heal()
  },
  isolate: ({ cluster, random }) => {
    const id = random.pick(cluster.ids)
    const proxies = cluster.ids.filter((one) => one !== id).map((one) => cluster.proxyOf(id, one))
    for (const proxy of proxies) {
      if (random.chance(0.5)) proxy.cut()
      else proxy.hold()
    }
    return async () => proxies.forEach((proxy) => proxy.heal())
  },
  hold: ({ cluster, random }) => {
    const proxy = random.pick(cluster.proxies)
    proxy.hold()
    return async () => proxy.heal()
  },
  delay: ({ cluster, random }) => {
    for (const proxy of cluster.proxies) proxy.delay(1 + random.under(DELAY_MAX_MS))
    return async () => cluster.proxies.forEach((proxy) => proxy.delay(0))
  },
  flip: ({ cluster, random }) => {
    const flips = Array.from({ length: FLIPS }, async (_, i) => {
      await sleep(i * FLIP_EVERY_MS)
      random.pick(cluster.proxies).flip()
    })
    return async () => void (await Promise.all(flips))
  },
}

export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[]
const NEEDS_STRACE: readonly FaultName[] = ['EIO', 'ENOSPC']

/** Why a fault cannot be injected on this machine; null: it can. */
export const missingFor = (name: FaultName): string | null =>
  NEEDS_STRACE.includes(name) ? straceMissing() : null

function victims(cluster: Cluster, random: Random, hit: Set<number>, count: number) {
  const free = cluster.ids.filter((id) => !hit.has(id) && cluster.processOf(id)?.isAlive)
  return random.sample(free, count).map((id) => {
    hit.add(id)
    return cluster.processOf(id)!
  })
}

function killSome({ cluster, random, hit }: FaultScene, count: number): Ending {
  const dead = victims(cluster, random, hit, count)
  for (const process of dead) process.signal('SIGKILL')
  return async () => void (await Promise.all(dead.map(({ exited }) => exited)))
}

/** strace joins a process that runs; where the call never comes, it leaves it as it was. */
function failDisk({ folder, cluster, random, hit, failing }: FaultScene, errno: string): Ending {
  const process = victims(cluster, random, hit, 1)[0]
  if (process === undefined) return async () => undefined
  const id = cluster.ids.find((one) => cluster.processOf(one) === process)!
  failing.add(id)
  const log = join(folder, `trace-${String(process.pid)}`)
  const [command, ...args] = failingLater({
    ...{ log, pid: process.pid, errno, calls: random.pick(DISK_CALLS) },
    n: 1 + random.under(DISK_CALLS_MAX),
  })
  const strace = spawn(command!, args, { stdio: 'ignore' })
  const gone = once(strace, 'exit')
  return async () => {
    strace.kill('SIGINT') // it detaches
    await gone
    // Told to go before it had begun, it has no log.
    const trace = existsSync(log) ? readFileSync(log, 'latin1') : ''
    if (trace.includes('(INJECTED)')) await process.exited
  }
}
