/** The micro-benchmark suites that `npm run bench` runs, in this order. Data only. */
import type { Suite } from '../run-suite.ts'
import { codecSuite, nsPerCall as codecNsPerCall, usPerFrame } from './codec.bench.ts'
import { coreSuite, nsPerBatch } from './core-step.bench.ts'
import { histogramSuite, nsPerRecord } from './histogram.bench.ts'
import { nsPerCall as ringNsPerCall, ringHopSuite } from './ring-hop.bench.ts'
import { walSuite } from './wal-append.bench.ts'

const isOfFrames = (task: string): boolean => /^(stampFrame|checkFrame|nextEntry)\b/.test(task)

export const SUITES: readonly Suite[] = [
  {
    name: 'ring/hop',
    question: 'what does one hand-over between stages cost in one thread?',
    benchOf: ringHopSuite,
    nsPerCall: (_task, latencyMs) => ringNsPerCall(latencyMs),
  },
  {
    name: 'codec',
    question: 'what do frames, messages and envelopes cost?',
    benchOf: codecSuite,
    nsPerCall: (task, latencyMs) =>
      isOfFrames(task) ? usPerFrame(latencyMs) * 1e3 : codecNsPerCall(latencyMs),
  },
  {
    name: 'core/step',
    question: 'what does the decision loop pay for one batch?',
    benchOf: coreSuite,
    nsPerCall: (_task, latencyMs) => nsPerBatch(latencyMs),
  },
  {
    name: 'wal/append',
    question: 'what does it cost to make one batch durable on this disk?',
    benchOf: (timeMs, dir) => walSuite(dir, timeMs),
    nsPerCall: (_task, latencyMs) => latencyMs * 1e6,
  },
  {
    name: 'stats/histogram',
    question: 'what does it cost to record a latency?',
    benchOf: histogramSuite,
    nsPerCall: (_task, latencyMs) => nsPerRecord(latencyMs),
  },
]
