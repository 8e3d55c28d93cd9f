/** What a path of the API does, and who may ask for it. */
import type { AccessRole } from '../auth.ts'
import type { Fields } from '../http/json.ts'

export interface Route {
  readonly role: AccessRole
  /** The fields of the request in, what the reply says out. @throws ReplicaError */
  readonly run: (fields: Fields, signal: AbortSignal) => Promise<object>
}

/** By path; all of them are POST with a JSON object. */
export type Routes = Readonly<Record<string, Route>>
