/** A trial that never ran: for tests of what is done with trials. */
import { parseBench, parseCompare } from '../../native-free-bench/options.ts'
import type {
  BenchConfig,
  CompareConfig,
  Environment,
  RunHooks,
  TrialResult,
} from '../../native-free-bench/types.ts'

const CPU = { userS: 1.5, systemS: 0.5, coresUsed: 2 }

export const ENVIRONMENT: Environment = {
  commit: '0123456789abcdef0123456789abcdef01234567',
  dirty: false,
  node: 'v22.0.0',
  cpuModel: 'Imaginary CPU',
  cores: 2,
  memoryBytes: 2 ** 33,
  kernel: 'Linux 6.1',
  filesystem: 'ext4',
  diskCache: 'volatile',
  startedAt: '2026-01-02T03:04:05.000Z',
}

export function trialOf(
  throughputPerS: number,
  p99: number,
  more: Partial<TrialResult> = {},
): TrialResult {
  const entries = Math.round(throughputPerS)
  const latency = { p50: p99 / 2, p90: p99 * 0.9, p99, p999: p99 * 2, max: p99 * 3 }
  return {
    entries,
    durationS: 1,
    throughputPerS,
    bytesPerS: throughputPerS * 16,
    latencyUs: { count: entries, mean: p99 / 2, ...latency },
    cpu: CPU,
    rssBytesMax: 2 ** 28,
    syncs: 1000,
    batchEntries: { p50: 100, mean: 120.5, max: 4096 },
    inflightMax: 65_536,
    stages: {
      decide: { busyRatio: 0.41, batches: 10, entries, stalls: 0, syncs: 0, syncMsMean: 0 },
      wal: { busyRatio: 0.97, batches: 10, entries, stalls: 3, syncs: 10, syncMsMean: 0.2 },
    },
    rings: { ingest: { occupancyMean: 0.2, occupancyMax: 0.9 } },
    threads: { 'n1.wal': { parks: 12, wakes: 9 } },
    safety: {
      checkedEntries: entries,
      entriesLost: 0,
      duplicates: 0,
      stateHashesEqual: true,
      violations: 0,
      violationDetails: [],
    },
    nodes: [
      {
        id: 1,
        role: 'leader',
        applied: entries,
        chosen: entries,
        durable: entries,
        acceptedBatches: 10,
        syncs: 1000,
        cpu: CPU,
        rssBytesMax: 2 ** 28,
        stateHash: '00ff',
      },
    ],
    failover: [],
    refused: 0,
    offeredPerS: null,
    roundTripMs: null,
    samples: [{ tS: 1, throughputPerS, p99, rssBytes: 2 ** 28 }],
    warnings: [],
    partial: false,
    ...more,
  }
}

export const hooksOf = (signal = new AbortController().signal): RunHooks => ({
  progress: () => undefined,
  signal,
})

export function benchOf(flags: Readonly<Record<string, unknown>>): BenchConfig {
  const { config, problems } = parseBench({ flags: { durability: 'os', ...flags } })
  if (config === undefined) throw new Error(problems.join('\n'))
  return config
}

export function compareOf(flags: Readonly<Record<string, unknown>>): CompareConfig {
  const { config, problems } = parseCompare({ flags: { durability: 'os', ...flags } })
  if (config === undefined) throw new Error(problems.join('\n'))
  return config
}
