/* The table of commands and the options all of them share.  A new command adds its struct here and
 * its declaration to commands.h; help, completions and the manual check follow. */
#include "config.h"

#include "cmd/cmd_ask.h"
#include "cmd/cmd_bench.h"
#include "cmd/cmd_care.h"
#include "cmd/cmd_diff.h"
#include "cmd/cmd_eval.h"
#include "cmd/cmd_generate.h"
#include "cmd/cmd_ingest.h"
#include "cmd/cmd_logits.h"
#include "cmd/cmd_ls.h"
#include "cmd/cmd_search.h"
#include "cmd/cmd_tokenize.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"

#define G(field) OPT_AT(struct globals, field)

const struct opt global_opts[] = {
	{ "library", 'L', OPT_STR, G(library), "DIR",
	  .help = "the library itself; without it the nearest .folio upwards, else the default one",
	  .env = "FOLIO_LIBRARY" },
	{ "model", 'm', OPT_STR, G(model), "NAME|FILE", .help = "model to use", .env = "FOLIO_MODEL" },
	{ "threads", 'j', OPT_INT, G(threads), "N",
	  .help = "threads to use; without it all cores this process may run on", .env = "FOLIO_THREADS",
	  .key = "core.threads" },
	{ "kernels", 0, OPT_ENUM, G(kernels), "auto|ref|avx2|avx512",
	  .help = "fastest kernels for this processor, the plain C reference, or one set by name", .def = "auto",
	  .env = "FOLIO_KERNELS", .key = "core.kernels" },
	{ "quiet", 'q', OPT_FLAG, G(quiet), NULL, .help = "no progress, no remarks" },
	{ "verbose", 'v', OPT_COUNT, G(verbose), NULL, .help = "say more; may be repeated" },
	{ "json", 0, OPT_FLAG, G(json), NULL, .help = "one versioned JSON document on stdout" },
	{ "jsonl", 0, OPT_FLAG, G(jsonl), NULL, .help = "the same as a stream of events, one per line" },
	{ "color", 0, OPT_ENUM, G(color), "auto|always|never", .help = "when to use colour", .def = "auto",
	  .env = "FOLIO_COLOR", .key = "core.color" },
	{ "progress", 0, OPT_ENUM, G(progress), "auto|plain|json|none",
	  .help = "a bar on a terminal, lines, JSON lines, or nothing; on stderr", .def = "auto",
	  .env = "FOLIO_PROGRESS", .key = "core.progress" },
	{ "no-pager", 0, OPT_FLAG, G(no_pager), NULL, .help = "never send long output through a pager" },
	{ "yes", 'y', OPT_FLAG, G(yes), NULL, .help = "answer yes to every question" },
	{ "config", 0, OPT_STR, G(config), "FILE", .help = "read this file instead of the user's own",
	  .env = "FOLIO_CONFIG" },
	{ "no-config", 0, OPT_FLAG, G(no_config), NULL, .help = "read no configuration file" },
	{ "trust-library", 0, OPT_FLAG, G(trust_library), NULL,
	  .help = "use a library that belongs to another user or is tracked by git" },
	{ "help", 'h', OPT_FLAG, G(help), NULL, .help = "explain the command" },
	{ "version", 0, OPT_FLAG, G(version), NULL, .help = "print the version" },
	OPT_END
};

const struct cmd commands[] = {
	{ .name = "init", .args = "[DIR]", .summary = "make a library", .group = "Libraries",
	  .more = "Makes DIR/.folio, or the folder that -L names. Without a library 'folio ingest' "
		  "makes the one it was told to use by itself.",
	  .max_args = 1, .run = cmd_init },
	{ .name = "ingest", .args = "PATH|-...", .summary = "add or update sources, make a snapshot",
	  .group = "Libraries",
	  .more = "A PATH is a folder, a git repository, an archive (tar, zip, 7z) or a file; - is "
		  "standard input. Unchanged files are not read again, a deleted file is gone from "
		  "the new snapshot and stays in the old ones. After an interruption the same command "
		  "goes on. A file that cannot be read costs that file; the exit status is then 3.",
	  .opts = ingest_cmd_opts, .opts_bytes = sizeof(struct ingest_cmd_opts), .max_args = -1,
	  .run = cmd_ingest },
	{ .name = "ls", .args = "[SOURCE[@SNAP]]", .summary = "sources, snapshots and files",
	  .group = "Libraries", .opts = ls_opts, .opts_bytes = sizeof(struct ls_opts), .max_args = 1,
	  .run = cmd_ls },
	{ .name = "show", .args = "FILE[:A-B]", .summary = "the stored text of a file or citation",
	  .group = "Libraries",
	  .more = "FILE is a path as 'folio ls SOURCE' prints it, SOURCE/PATH or SOURCE@SNAP/PATH; "
		  ":12 or :12-20 behind it picks lines.",
	  .min_args = 1, .max_args = 1, .run = cmd_show },
	{ .name = "ask", .args = "QUESTION|-", .summary = "one question, an answer with checked citations",
	  .group = "Libraries",
	  .more = "The passages that rank best are attended to in the library's stored keys and values; what "
		  "is not encoded yet is encoded now and kept. A citation quotes the stored text, whose "
		  "checksum was checked. Text piped to standard input is context beside the QUESTION. "
		  "Question and answer are a turn of a session, which -s goes on with. Exit status 1: the "
		  "library does not say.",
	  .opts = ask_opts, .opts_bytes = sizeof(struct ask_opts), .min_args = 1, .max_args = 1, .run = cmd_ask },
	{ .name = "chat", .args = "", .summary = "questions and answers, line by line, in one session",
	  .group = "Libraries",
	  .more = "Each line is a question, or a command: /help lists them. Ctrl-C stops an answer, not the "
		  "session. Where standard input is no terminal each line of it is a question.",
	  .opts = chat_opts, .opts_bytes = sizeof(struct ask_opts), .run = cmd_chat },
	{ .name = "find", .args = "QUERY|-", .summary = "passages that rank highest for a query, no generation",
	  .group = "Libraries", .opts = find_opts, .opts_bytes = sizeof(struct find_opts), .min_args = 1, .max_args = 1,
	  .run = cmd_find },
	{ .name = "session", .summary = "list, show, fork, rename, export and remove sessions", .group = "Libraries",
	  .sub = session_commands },
	{ .name = "search", .args = "PATTERN",
	  .summary = "exact, PCRE2 or full-text search, without a model", .group = "Libraries",
	  .more = "Searches the newest snapshot of every source. Exits with 1 when nothing matches.",
	  .opts = search_opts, .opts_bytes = sizeof(struct search_opts), .min_args = 1, .max_args = 1,
	  .run = cmd_search },
	{ .name = "diff", .args = "A B|A..B [-- PATH...]", .summary = "what changed between two versions",
	  .group = "Libraries",
	  .more = "A and B are git revisions, 'worktree', folders, archives, single documents or "
		  "SOURCE@SNAP of the library. Counts, renames, hunks, symbols and moved sections are "
		  "computed; with a model files get sentences that are tied to hunks or cut. "
		  "--no-llm is a report by itself. Exit status 1 with --exit-code: there are differences.",
	  .opts = diff_opts, .opts_bytes = sizeof(struct diff_cmd_opts), .min_args = 1, .max_args = -1,
	  .run = cmd_diff },
	{ .name = "model", .summary = "fetch, choose and inspect models", .group = "Models",
	  .sub = model_commands },
	{ .name = "generate", .args = "PROMPT|-", .summary = "complete a text with a model, without a library",
	  .group = "Models", .opts = generate_opts, .opts_bytes = sizeof(struct generate_opts), .min_args = 1,
	  .max_args = 1, .run = cmd_generate },
	{ .name = "tokenize", .args = "TEXT|-", .summary = "token ids of a text, on one line", .group = "Models",
	  .opts = tokenize_opts, .opts_bytes = sizeof(struct tokenize_opts), .min_args = 1, .max_args = 1,
	  .run = cmd_tokenize },
	{ .name = "logits", .args = "--tokens I,I,...|--tokens-file FILE -o FILE",
	  .summary = "raw logits after given tokens, for comparing with other programs", .group = "Models",
	  .opts = logits_opts, .opts_bytes = sizeof(struct logits_opts), .run = cmd_logits },
	{ .name = "bench", .args = "", .summary = "speed of a model on this machine, beside the machine's limits",
	  .group = "Models", .opts = bench_opts, .opts_bytes = sizeof(struct bench_opts), .run = cmd_bench },
	{ .name = "eval", .args = "[PATH]...",
	  .summary = "questions whose answers were planted in real text, by length", .group = "Models",
	  .more = "Takes text below the PATHs until it is as long as asked, plants lines in it, ingests it into a "
		  "library of its own, and asks an iRoPE model for them. Without a PATH it takes what systems have: "
		  "/usr/include, /usr/share/doc, /usr/lib/python3. The forms are those that "
		  "samples/train trains a model on.",
	  .opts = eval_opts, .opts_bytes = sizeof(struct eval_opts), .max_args = -1, .run = cmd_eval },
	{ .name = "doctor", .args = "", .summary = "what this machine and this installation offer",
	  .group = "Looking after folio",
	  .more = "Prints processor features and the kernels chosen for them, whether io_uring "
		  "works and why not, the libraries folio is built with, the programs it calls, the "
		  "models installed and the free disk space. Exits with 2 when something folio "
		  "cannot work without is missing.",
	  .run = cmd_doctor },
	{ .name = "verify", .summary = "look for damage in the library",
	  .group = "Looking after libraries",
	  .more = "Checks every page of the catalog, what refers to what, and the lengths of all files; "
		  "with --read-data also texts, pages and sessions byte by byte. Changes nothing. Exit "
		  "status 13: damage was found.",
	  .opts = verify_opts, .opts_bytes = sizeof(struct verify_opts), .run = cmd_verify },
	{ .name = "repair", .summary = "mend what can be mended, name what is lost",
	  .group = "Looking after libraries",
	  .more = "Drops damaged pages, which are encoded again when they are needed, makes indexes and "
		  "summaries again, and lists the files whose text must be ingested again. Exit status "
		  "13: something is lost.",
	  .run = cmd_repair },
	{ .name = "forget", .args = "[SOURCE]...", .summary = "remove old snapshots",
	  .group = "Looking after libraries",
	  .more = "Snapshots that a session is pinned to are kept. 'folio prune' gives the room back.",
	  .opts = forget_opts, .opts_bytes = sizeof(struct forget_opts), .max_args = -1,
	  .run = cmd_forget },
	{ .name = "prune", .summary = "give back the room of what nothing refers to",
	  .group = "Looking after libraries",
	  .more = "May be interrupted and run again. Files that another command may still read are left "
		  "to the next run.",
	  .opts = prune_opts, .opts_bytes = sizeof(struct prune_opts), .run = cmd_prune },
	{ .name = "stats", .summary = "what the library holds and what it costs",
	  .group = "Looking after libraries", .run = cmd_stats },
	{ .name = "config", .summary = "read and write settings", .group = "Looking after folio",
	  .sub = config_commands },
	{ .name = "completion", .args = "bash|zsh|fish",
	  .summary = "print a completion script for a shell", .group = "Looking after folio",
	  .more = "For the running shell: source <(folio completion bash). `make install` puts the "
		  "scripts where the shells look for them.",
	  .min_args = 1, .max_args = 1, .run = cmd_completion },
	{ .name = "help", .args = "[COMMAND]", .summary = "explain folio or a command",
	  .group = "Looking after folio", .max_args = 2, .run = cmd_help },
	{ 0 }
};
