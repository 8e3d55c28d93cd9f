/**
 * The config file that a tuning writes: the sizes it found, and of the engine's other sizes those
 * that were not at their defaults, since the found ones hold beside them. The load is no part of
 * it: a server has none. Pure.
 */
import { CONFIG_SCHEMA } from '../config-file.ts'
import { defaultsOf } from '../options.ts'
import type { PublicTuneConfig, Sizes } from '../types.ts'

const OTHERS = ['batchMaxEntries', 'batchLingerUs', 'windowMaxBytes'] as const

export function tunedConfigOf(config: PublicTuneConfig, found: Sizes) {
  const defaults = defaultsOf('xpaxos')
  const changed = OTHERS.filter((key) => config[key] !== defaults[key])
  return {
    schema: CONFIG_SCHEMA,
    batchMaxBytes: found.batchMaxBytes,
    pipelineDepth: found.pipelineDepth,
    ...Object.fromEntries(changed.map((key) => [key, config[key]])),
  }
}
