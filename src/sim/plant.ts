/**
 * Puts one mutant into the sources that this thread loads from now on. Works from a checkout only:
 * a build has other text and no need of it.
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { ReplicaError } from '../base/errors.ts'
import { EXPLORER_MUTANTS } from './explore/mutants.ts'
import { MUTANTS, type Mutant } from './mutants.ts'

/** @throws ReplicaError E_CONFIG_INVALID for an unknown mutant or outside a checkout */
export function mutantOf(name: string): Mutant {
  if (!import.meta.url.endsWith('.ts')) refuse('--mutant: works from a checkout only')
  const mutant = [...MUTANTS, ...EXPLORER_MUTANTS].find((one) => one.name === name)
  return mutant ?? refuse(`--mutant: ${name} is none of --list-mutants`)
}

/** The source with its fault; the text must be there exactly once. */
export function mutated({ name, file, from, to }: Mutant, source: string): string {
  const at = source.indexOf(from)
  if (at < 0) refuse(`mutant ${name}: its text is not in ${file} any more`)
  if (source.includes(from, at + 1)) refuse(`mutant ${name}: its text is twice in ${file}`)
  return source.slice(0, at) + to + source.slice(at + from.length)
}

export function plant(name: string): void {
  const mutant = mutantOf(name)
  const url = new URL(`../../${mutant.file}`, import.meta.url).href
  registerHooks({
    load(target, context, nextLoad) {
      if (target !== url) return nextLoad(target, context)
      const source = mutated(mutant, readFileSync(fileURLToPath(url), 'utf8'))
      return { format: 'module-typescript', source, shortCircuit: true }
    },
  })
}

function refuse(problem: string): never {
  throw new ReplicaError('E_CONFIG_INVALID', problem, { problems: [problem] })
}
