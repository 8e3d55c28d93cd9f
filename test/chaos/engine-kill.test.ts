/**
 * Leaders are killed under load, round after round, each on fresh folders; survivors must hold
 * every entry that was acknowledged, each once, in equal states. Rounds: XPAXOS_ROUNDS, default 3.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type ReplicaNode, type Writer, openLocalCluster } from '../../src/engine/index.ts'
import { TUNING, proposeAgain, text, until, verdictOf } from '../support/engine.ts'

const ROUNDS = Number(process.env['XPAXOS_ROUNDS'] ?? '3')
const KILLS = 2 // of five nodes: a quorum survives
const LAYOUTS = ['inline', 'split', 'inline'] as const

interface Client {
  readonly id: number
  readonly writer: Writer
}

/** Opens a writer where there is a leader, and keeps it busy until it fails or `entries` are in. */
async function load(node: ReplicaNode, entries: number): Promise<Client> {
  const before = new Set(node.ingest.clients.keys())
  const writer = node.writer()
  const id = [...node.ingest.clients.keys()].find((one) => !before.has(one))!
  for (let i = 0; i < entries; i++) {
    while (!writer.tryWrite(text(`${id} ${i}`))) await writer.drained()
  }
  return { id, writer }
}

test.each(Array.from({ length: ROUNDS }, (_, round) => round))(
  'round %i: two leaders of five are killed under load',
  async (round) => {
    const dataDir = mkdtempSync(join(tmpdir(), 'xpaxos-kill-'))
    const cluster = await openLocalCluster({
      nodes: 5,
      dataDir,
      stateMachine: 'hash',
      durability: round % 2 === 0 ? 'fsync' : 'os',
      layout: LAYOUTS[round % LAYOUTS.length]!,
      tuning: { ...TUNING, seed: round + 1 },
    })
    try {
      const clients: Client[] = []
      const killed = new Set<ReplicaNode>()
      for (let kill = 0; kill < KILLS; kill++) {
        await proposeAgain(cluster, `before kill ${kill}`)
        const leader = await cluster.leader()
        const client = await load(leader, 500 * (1 + ((round + kill) % 5))).catch(() => null)
        if (client !== null) clients.push(client)
        await leader.kill()
        killed.add(leader)
      }
      const { index } = await proposeAgain(cluster, 'after')
      const survivors = cluster.nodes.filter((node) => !killed.has(node))
      await until('all survivors apply', () =>
        survivors.every((node) => node.status().applied >= index),
      )
      const verdict = verdictOf(await Promise.all(survivors.map((node) => node.close())))
      expect([verdict.gaps, verdict.duplicates]).toEqual([0, 0])
      expect(new Set(verdict.hashes).size).toBe(1)
      expect(verdict.hashes).toHaveLength(3)
      for (const { id, writer } of clients) {
        expect(Math.min(...verdict.through(id))).toBeGreaterThanOrEqual(writer.completed)
      }
    } finally {
      await cluster.close()
      rmSync(dataDir, { recursive: true, force: true })
    }
  },
)
