/** All nodes in this process over memory links, each with its own threads and files. */
import { join } from 'node:path'
import { type LocalCluster, openLocalCluster } from '../../src/engine/local-cluster.ts'
import type { NodeEvent, ReplicaNode } from '../../src/engine/node.ts'
import type { BenchConfig } from '../types.ts'
import { ALARMS, type BenchNode, type Engine, type NodeLook } from './engine.ts'
import { openLimitCluster } from './limit/limit-cluster.ts'
import { runLoad } from './load.ts'
import { engineOptions, membersOf } from './options-of.ts'

export async function openLocalEngine(config: BenchConfig, dataDir: string): Promise<Engine> {
  const failures: string[] = []
  const state = { onChange: (): void => undefined }
  const nodes: BenchNode[] = []
  const onEvent = (event: NodeEvent): void => {
    const node = nodes.find(({ id }) => id === event.node)
    if (event.kind === 'leads') {
      if (node !== undefined) node.leads = event.leads
      state.onChange()
    } else if (event.kind === 'failed') failures.push(`node ${event.node}: ${event.error.message}`)
    else if (ALARMS.has(event.name)) failures.push(`node ${event.node}: alarm ${event.name}`)
  }
  const open = config.engine === 'limit' ? openLimitCluster : openLocalCluster
  const cluster = await open({
    ...engineOptions(config),
    nodes: membersOf(config),
    dataDir,
    stateMachine: config.stateMachine,
    onEvent,
  })
  for (const node of cluster.nodes) nodes.push(localNode(config, node, dataDir))
  return {
    nodes,
    sharesProcess: true,
    failures,
    get onChange() {
      return state.onChange
    },
    set onChange(call) {
      state.onChange = call
    },
    release: () => release(cluster),
  }
}

function localNode(config: BenchConfig, node: ReplicaNode, dataDir: string): BenchNode {
  return {
    id: node.id,
    role: config.roles[node.id - 1]!,
    dataDir: config.durability === 'none' ? null : join(dataDir, `node-${node.id}`),
    alive: true,
    leads: node.leads,
    startLoad: (spec) => runLoad(node, { ...spec, journal: null }),
    look: () => Promise.resolve(lookAt(node)),
    slowDisk: (factor) => Promise.resolve(node.slowDisk(factor)),
    close: () => node.close(),
    kill() {
      this.alive = false
      this.leads = false
      return node.kill()
    },
  }
}

export function lookAt(node: ReplicaNode): NodeLook {
  const { user, system } = process.cpuUsage()
  const rssBytes = process.memoryUsage.rss()
  const status = node.status()
  return { status, statistics: node.statistics(), cpuUserUs: user, cpuSystemUs: system, rssBytes }
}

const release = (cluster: LocalCluster): Promise<void> => cluster.close().catch(() => undefined)
