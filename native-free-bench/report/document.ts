/**
 * What a report is made of, before it is a page or a text: sections of blocks of plain text.
 * Nothing here is markup; html.ts and markdown.ts escape what they are given.
 */
import type { Chart } from './charts/svg.ts'

/** `code` is what a reader types. */
export type Cell = string | { readonly code: string }

export interface Card {
  readonly value: string
  readonly text: string
  readonly tone: 'good' | 'bad' | 'plain'
}

export interface Table {
  readonly caption: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
}

/** Where figures come from. */
export interface Source {
  readonly commands: readonly string[]
  readonly notes: readonly string[]
}

export type Block =
  | { readonly kind: 'words'; readonly text: string }
  /** What must not be overlooked: broken promises, paths that skip durability. */
  | { readonly kind: 'alarm'; readonly text: string }
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'title'; readonly text: string }
  /** What a reader types. */
  | { readonly kind: 'command'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | { readonly kind: 'cards'; readonly cards: readonly Card[] }
  /** `beside`: what the charts say, in words. */
  | {
      readonly kind: 'charts'
      readonly charts: readonly Chart[]
      readonly beside: readonly string[]
    }
  /** `isOpen`: it is the figure itself, not the text beside a chart. */
  | { readonly kind: 'table'; readonly table: Table; readonly isOpen: boolean }
  | { readonly kind: 'source'; readonly source: Source }
  /** What is not there, and what would make it. */
  | { readonly kind: 'absent'; readonly text: string; readonly command: string }

export interface Section {
  readonly id: string
  readonly title: string
  /** A line under the title: the question that the section answers. */
  readonly question: string
  readonly blocks: readonly Block[]
}

export interface Report {
  readonly title: string
  readonly lead: readonly string[]
  readonly sections: readonly Section[]
}

export const words = (text: string): Block => ({ kind: 'words', text })
export const alarm = (text: string): Block => ({ kind: 'alarm', text })
export const note = (text: string): Block => ({ kind: 'note', text })
export const charts = (list: readonly (Chart | null)[], beside: readonly string[] = []): Block => ({
  kind: 'charts',
  charts: list.filter((chart) => chart !== null),
  beside,
})
