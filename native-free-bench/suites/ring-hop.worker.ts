/** The other thread of ring-hop.bench.ts: echoes cells until HOP_END. */
import { parentPort, workerData } from 'node:worker_threads'
import { available } from '../../src/ring/cell-ring.ts'
import { run, runAsync, threadTime } from '../../src/ring/wait.ts'
import { HOP_END, type HopMemory, openHopEnd, send, takeOne } from './ring-hop.bench.ts'

const { request, answer, caller, echo, spinCount, onEventLoop } = workerData as HopMemory
const end = openHopEnd(request, answer, echo, caller)
let isOver = false

function cycle(): number {
  if (available(end.input) === 0) return 0
  const value = takeOne(end)
  isOver = value === HOP_END
  send(end, value)
  return 1
}

const common = {
  cycle,
  bell: end.own,
  halted: () => isOver,
  timeoutMs: 1_000,
  now: () => performance.now(),
  time: threadTime(),
}
parentPort!.postMessage('ready')
if (onEventLoop) await runAsync({ ...common, cyclesPerTurnMax: 4 }).done
else run({ ...common, spinCount })
