/**
 * What a caller hands in, looked at before anything is done with it: JavaScript checks no types,
 * and what is found half way would leave the rest half done. Caller's thread.
 */
import { isBytes } from '../base/bytes.ts'
import { ReplicaError } from '../base/errors.ts'

/** @throws ReplicaError E_CONFIG_INVALID: also a string, which would be written as zeros */
export function checkBytes(name: string, value: unknown): void {
  if (!isBytes(value)) refuse(`${name}: want a Uint8Array`)
}

/** @throws ReplicaError E_CONFIG_INVALID: also null, or the controller instead of its signal */
export function checkSignal(value: unknown): void {
  if (value === undefined) return
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>
  if (typeof aborted === 'boolean' && typeof addEventListener === 'function') return
  refuse('signal: want an AbortSignal, or none')
}

function refuse(problem: string): never {
  throw new ReplicaError('E_CONFIG_INVALID', problem, { problems: [problem] })
}
