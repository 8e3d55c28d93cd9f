/**
 * A worker of a campaign. A planted fault (mutant) is put into the sources before the first of them
 * is loaded, so the simulator itself is imported late. One worker, one mutant, for its whole life.
 */
import { workerData } from 'node:worker_threads'
import type { ChunkResult, ChunkTask } from './chunk.ts'
import type { ExploreResult, ExploreTask, PathResult, PathTask } from './explore/explore.ts'
import type { ReplayResult, ReplayTask } from './replay.ts'

export interface WorkerData {
  readonly mutant: string | null
}

const { mutant } = workerData as WorkerData
if (mutant !== null) {
  const { plant } = await import('./plant.ts')
  plant(mutant)
}

export async function chunk(task: ChunkTask): Promise<ChunkResult> {
  const { runChunk } = await import('./chunk.ts')
  Error.stackTraceLimit = 1 // thousands of refusals a second; a replay shows the rest
  return runChunk(task)
}

export async function replay(task: ReplayTask): Promise<ReplayResult> {
  const { runReplay } = await import('./replay.ts')
  return runReplay(task)
}

export async function explore(task: ExploreTask): Promise<ExploreResult> {
  const { runExploration } = await import('./explore/explore.ts')
  return runExploration(task)
}

export async function path(task: PathTask): Promise<PathResult> {
  const { runPath } = await import('./explore/explore.ts')
  return runPath(task)
}
