import { expect, test } from 'vitest'
import { runResults } from '../../native-free-bench/run-results.ts'
import type { BenchConfig, RunTrial } from '../../native-free-bench/types.ts'
import { hooksOf, trialOf } from './report-fixtures.ts'

const PEAK = { 'basic-paxos': 20_000, 'multi-paxos': 900, xpaxos: 12e6, limit: 20e6 }
const fake: RunTrial = ({ engine, rate }) => Promise.resolve(trialOf(rate ?? PEAK[engine], 100))

test('everything that a report shows is measured, rates as shares of the peaks', async () => {
  const rates: number[] = []
  const run: RunTrial = (config, hooks) => {
    if (config.engine === 'xpaxos' && config.rate !== null) rates.push(config.rate)
    return fake(config, hooks)
  }
  const { files, failures } = await runResults(hooksOf(), run, [])
  expect(failures).toEqual([])
  const first = ['suites', 'compare', 'ladder', 'leader-kill']
  expect(Object.keys(files).slice(0, 5)).toEqual([...first, 'load-xpaxos-10'])
  expect(Object.keys(files)).toHaveLength(4 + 3 * 5)
  expect([...new Set(rates)]).toEqual([1.2e6, 3e6, 6e6, 9e6, 10.8e6])
  expect(Object.values(files).every(({ command }) => command.startsWith('xpaxos '))).toBe(true)
})

test('a measurement that fails is named, and loses no other', async () => {
  const isKill = ({ killLeaderAfter }: BenchConfig): boolean => killLeaderAfter !== null
  const run: RunTrial = (config, hooks) =>
    isKill(config) ? Promise.reject(new Error('no leader')) : fake(config, hooks)
  const { files, failures } = await runResults(hooksOf(), run, [])
  expect(failures).toEqual(['leader-kill: no leader'])
  expect(Object.keys(files)).toHaveLength(3 + 3 * 5)
})

test('an interrupt keeps what is complete, and is no failure', async () => {
  const interrupt = new AbortController()
  const run: RunTrial = (config, hooks) => {
    if (config.killLeaderAfter !== null) interrupt.abort()
    return interrupt.signal.aborted ? Promise.reject(new Error('stopped')) : fake(config, hooks)
  }
  const { files, failures } = await runResults(hooksOf(interrupt.signal), run, [])
  expect(failures).toEqual([])
  expect(Object.keys(files)).toEqual(['suites', 'compare', 'ladder', 'leader-kill'])
  expect(files['leader-kill']).toMatchObject({ partial: true, trials: [] })
})
