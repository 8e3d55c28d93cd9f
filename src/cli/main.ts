#!/usr/bin/env node
/**
 * The command line: arguments to configurations, results to output, outcomes to exit statuses.
 * Exit status: 0 done; 1 what was measured failed or broke a promise; 2 bad usage, nothing
 * written; 130 interrupted. Bodies of commands are imported when they run, so that no command
 * loads what another needs. Results go to stdout, all else to stderr.
 */
import { Command, CommanderError, Option as Flag } from 'commander'
import {
  type CommandName,
  COMMANDS,
  flagOf,
  MISSING_COMMANDS,
  type Option,
  optionsOf,
  rangeOf,
} from '../../native-free-bench/option-table.ts'
import { packageVersion } from '../../native-free-bench/environment.ts'
import { readConfigFile } from './config-file.ts'
import { type Exit, EXIT, exitOf, UsageError } from './exit.ts'
import { addClients, addServe } from './service-commands.ts'

const SUMMARIES: Record<CommandName, string> = {
  bench: 'measure one engine under one load',
  compare: 'measure several engines side by side',
  suite: 'run the micro-benchmarks and a comparison of a minute; write results/',
  tune: 'find batch and pipeline sizes for a load on this machine, and say why',
}

/** Runs one command line; the exit status. */
export async function main(args: readonly string[]): Promise<Exit> {
  let exit: Exit = EXIT.done
  const program = programOf((status) => {
    exit = status
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return exit
  } catch (error) {
    // The parser has printed its line already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.badUsage
    return exitOf(error, (line) => process.stderr.write(`${line}\n`))
  }
}

function programOf(onExit: (exit: Exit) => void): Command {
  const program = new Command('xpaxos')
  program
    .description('A replication engine: batched, pipelined, unique-proposer Multi-Paxos.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .addHelpText('after', `\nNot available yet: ${MISSING_COMMANDS.join(', ')}`)
    .exitOverride()
  for (const name of COMMANDS) addCommand(program, name, onExit)
  addCheck(program, onExit)
  addSim(program, onExit)
  addVerify(program, onExit)
  addDisaster(program, onExit)
  addWal(program, onExit)
  addSnapshot(program, onExit)
  addReport(program, onExit)
  addServe(program, onExit, sorted)
  addClients(program, onExit, sorted)
  for (const name of MISSING_COMMANDS) addMissing(program, name)
  return program
}

function addCommand(program: Command, name: CommandName, onExit: (exit: Exit) => void): void {
  const command = program
    .command(name)
    .description(SUMMARIES[name])
    .helpOption('--help', 'print this help')
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
  for (const [key, option] of optionsOf(name)) command.addOption(flagFor(name, key, option))
  command.action(async () => {
    const flags: Readonly<Record<string, unknown>> = command.opts()
    const problems = unknownOf(command.args)
    const { runCommand } = await import('./commands.ts')
    onExit(
      await runCommand(name, { flags, file: readConfigFile(flags['config'], problems) }, problems),
    )
  })
}

function addCheck(program: Command, onExit: (exit: Exit) => void): void {
  const command = program
    .command('check')
    .description('judge a recorded history: linearizable or not, and why not')
    .argument('[FILE]', 'the history, one event a line (docs/checking.md)')
    .helpOption('--help', 'print this help')
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
    .addOption(new Flag('--model [name]', 'what the clients used: register, kv or append'))
    .addOption(new Flag('--format [name]', 'jepsen or jsonl (default: by the first character)'))
    .addOption(new Flag('--timeout [seconds]', 'then unknown (default 60)').default('60', '60'))
  command.action(async () => {
    const { names, unknown } = sorted(command.args)
    const { runCheck } = await import('./check.ts')
    onExit(runCheck(command.opts(), names, unknown))
  })
}

function addSim(program: Command, onExit: (exit: Exit) => void): void {
  const command = program
    .command('sim')
    .description('run the deterministic simulator: seeds under faults, judged step by step')
    .helpOption('--help', 'print this help')
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
    .addOption(new Flag('--seeds [A..B]', 'these seeds, both ends included'))
    .addOption(new Flag('--class [name]', 'of this class; without it each seed draws its own'))
    .addOption(new Flag('--budget [seconds]', 'begin nothing new after so long'))
    .addOption(new Flag('--mutant [name]', 'with this planted fault (from a checkout)'))
    .addOption(new Flag('--workers [count]', 'threads (default: 2, or as many as there are)'))
    .addOption(new Flag('--json [file]', 'write the result as JSON; - is stdout'))
    .addOption(new Flag('--replay [seed]', 'run one seed and print its trace hash'))
    .addOption(new Flag('--trace', 'with --replay: the sequence chart of its end'))
    .addOption(new Flag('--shrink', 'with --replay: make a failing seed smaller'))
    .addOption(new Flag('--explore [scope]', 'try every order of what a scope (or each) allows'))
    .addOption(new Flag('--depth [actions]', 'with --explore: through so many actions'))
    .addOption(new Flag('--states [count]', 'with --explore: so many worlds (default 2000000)'))
    .addOption(new Flag('--path [a.b.c]', 'with --explore: only this path, as a chart'))
    .addOption(new Flag('--list-classes', 'print the classes'))
    .addOption(new Flag('--list-mutants', 'print the mutants and what they must violate'))
    .addOption(new Flag('--list-scopes', 'print the scopes of --explore, and their bounds'))
    .addOption(new Flag('--coverage', 'print the coverage counters'))
    .addOption(new Flag('--progress', 'tell on stderr how far it is'))
  command.action(async () => {
    const { runSim } = await import('./sim.ts')
    onExit(await runSim(command.opts(), unknownOf(command.args)))
  })
}

function addVerify(program: Command, onExit: (exit: Exit) => void): void {
  const command = program
    .command('verify')
    .description('measure every promised figure, side by side, and say which are kept')
    .helpOption('--help', 'print this help')
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
    .addOption(new Flag('--rows [names]', 'these rows alone, like memory-16,tcp-alone'))
    .addOption(new Flag('--rounds [count]', 'trials of each side').default('5', '5'))
    .addOption(new Flag('--duration [s]', 'measured in each trial').default('2', '2'))
    .addOption(
      new Flag('--data-dir [dir]', 'a fresh folder under the working directory by default'),
    )
    .addOption(new Flag('--json [file]', 'write the result as JSON; - is stdout'))
    .addOption(new Flag('--progress', 'on stderr, terminal or not'))
  command.action(async () => {
    const { runVerifyCommand } = await import('./verify.ts')
    onExit(await runVerifyCommand(command.opts(), unknownOf(command.args)))
  })
}

function addDisaster(program: Command, onExit: (exit: Exit) => void): void {
  const command = program
    .command('disaster')
    .description('when a quorum is lost for ever: make a survivor the only member (dangerous)')
    .argument('[ACTION]', 'show, force-single-leader or force-promote (docs/disaster.md)')
    .helpOption('--help', 'print this help')
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
    .addOption(new Flag('--data-dir [dir]', "the stopped node's directory"))
    .addOption(new Flag('--dry-run', 'say what would happen and what may be lost; write nothing'))
    .addOption(new Flag('--by [text]', 'who orders it, when and why: stays in the log'))
    .addOption(new Flag('--i-accept-data-loss [cluster]', 'the cluster id; without it: refused'))
    .addOption(new Flag('--members [list]', '1:voter:9,2,3:logger: what the cluster started with'))
    .addOption(new Flag('--weight [1..9]', 'force-promote: of the survivor (default 5)'))
  command.action(async () => {
    const { names, unknown } = sorted(command.args)
    const { runDisaster } = await import('./disaster.ts')
    onExit(runDisaster(command.opts(), names, unknown))
  })
}

function addSnapshot(program: Command, onExit: (exit: Exit) => void): void {
  const command = program
    .command('snapshot')
    .description("copy a node's newest snapshot, or make a new node's directory of one")
    .argument('[ACTION]', 'save or restore (docs/snapshots.md)')
    .argument('[FILE]', 'where the copy is, or is to be')
    .helpOption('--help', 'print this help')
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
    .addOption(new Flag('--data-dir [dir]', 'of the node: to save from, or to make'))
    .addOption(new Flag('--node-id [id]', 'restore: of the new node, never used before'))
    .addOption(new Flag('--cluster-id [name]', 'restore: of the cluster (default xpaxos)'))
    .addOption(new Flag('--durability [kind]', 'restore: fsync or os (default fsync)'))
  command.action(async () => {
    const { names, unknown } = sorted(command.args)
    const { runSnapshot } = await import('./snapshot.ts')
    onExit(runSnapshot(command.opts(), names, unknown))
  })
}

function addWal(program: Command, onExit: (exit: Exit) => void): void {
  const command = program
    .command('wal')
    .description("read a stopped node's log: show what is in it, or check every byte")
    .argument('[ACTION]', 'inspect or verify')
    .argument('[DIR]', "the node's data directory")
    .helpOption('--help', 'print this help')
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
    .addOption(new Flag('--records', 'inspect: a line a record'))
  command.action(async () => {
    const { names, unknown } = sorted(command.args)
    const { runWal } = await import('./wal.ts')
    onExit(runWal(command.opts(), names, unknown))
  })
}

function addReport(program: Command, onExit: (exit: Exit) => void): void {
  const command = program
    .command('report')
    .description('turn a folder of results into summary.md and report.html, with charts')
    .argument('[RESULTS_DIR]', 'the folder; files of every measuring command are read')
    .helpOption('--help', 'print this help')
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
  command.action(async () => {
    const { names, unknown } = sorted(command.args)
    const { runReport } = await import('./report.ts')
    onExit(runReport(names, unknown))
  })
}

/** Positional arguments, and options that there are not. */
function sorted(args: readonly string[]): { names: string[]; unknown: string[] } {
  const isFlag = (arg: string): boolean => arg.startsWith('-')
  const unknown = args.filter(isFlag).map((arg) => `${arg}: no such option`)
  return { names: args.filter((arg) => !isFlag(arg)), unknown }
}

/** Values are optional to the parser, so that a missing one is refused with the others. */
function flagFor(name: CommandName, key: string, option: Option): Flag {
  const isSwitch = option.kind === 'flag'
  const fallback = option.fallbacks?.[name] ?? option.fallback
  const range = isSwitch || option.kind === 'text' ? '' : `${rangeOf(option)}; `
  const shown = isSwitch || fallback === undefined ? '' : ` (default ${fallback})`
  const flag = new Flag(
    isSwitch ? flagOf(key) : `${flagOf(key)} [${option.unit ?? 'value'}]`,
    `${range}${option.why}${shown}`,
  )
  return option.isMissing === true ? flag.hideHelp() : flag
}

function addMissing(program: Command, name: string): void {
  program
    .command(name, { hidden: true })
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw new UsageError([`xpaxos ${name}: not available yet`])
    })
}

/** What the parser left over; a value that follows an unknown option is taken as its own. */
function unknownOf(args: readonly string[]): string[] {
  return args.flatMap((arg, i) => {
    if (arg.startsWith('-')) return [`${arg.replace(/=.*/, '')}: no such option`]
    return i > 0 && args[i - 1]!.startsWith('-') ? [] : [`${arg}: unexpected argument`]
  })
}

// Imported by tests, run as a program: links in bin folders resolve to this file.
if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
