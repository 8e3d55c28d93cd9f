/**
 * Runs one of the raw spikes of native-free-bench/suites as a program, for a figure beside `limit`:
 * bytes, syncs and parsing of a replicated log, and nothing from src.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export type SpikeName = 'memory' | 'tcp'

/** @returns entries a second; rejects when the spike failed or its nodes differ at the end */
export type RunSpike = (
  name: SpikeName,
  load: { readonly payload: number; readonly inflight: number; readonly seconds: number },
) => Promise<number>

export const runSpike: RunSpike = (name, { payload, inflight, seconds }) => {
  const end = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const program = fileURLToPath(new URL(`../suites/spike-${name}.${end}`, import.meta.url))
  const flags = Object.entries({ payload, inflight, seconds }).flatMap(([key, value]) => [
    `--${key}`,
    String(value),
  ])
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [program, ...flags], (error, stdout) => {
      if (error !== null) reject(new Error(error.message))
      else resolve((JSON.parse(stdout) as { entriesPerS: number }).entriesPerS)
    })
  })
}
