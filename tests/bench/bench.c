/* bench - the measuring program that `run` starts; README.md says what for.
 *
 *     bench compare --subject S... --group OPS... [--mixed OPS...] --clients 1,2,... --rounds N --slice-ms N --limit-s N
 *     bench trips --subject S --group OPS --times N
 *     bench fill DIR COUNT PER-BUCKET        bench walk DIR
 *     bench hold DIR COUNT                   bench late DIR RAW COUNT PER-SECOND TTL-MS
 *
 * OPS are names of operations, joined by commas; S is as subject.h says. Results go to stdout as JSON, progress to stderr. */
#include "compare.h"
#include "samples.h"
#include "scale.h"
#include "slice.h"
#include "trips.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct
{
  char **subjects;
  char **groups;
  char **mixed;
  char *clients;
  gint rounds;
  gint slice_ms;
  gint limit_s;
  gint times;
} Options;

static void
parse (int *argc, char ***argv, Options *options)
{
  const GOptionEntry entries[] = {
    { "subject", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->subjects, "KIND,NAME,...", "S" },
    { "group", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->groups, "Take turns at these", "OPS" },
    { "mixed", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->mixed, "Do these all at once", "OPS" },
    { "clients", 0, 0, G_OPTION_ARG_STRING, &options->clients, "How many", "N,N,..." },
    { "rounds", 0, 0, G_OPTION_ARG_INT, &options->rounds, "Turns of each subject", "N" },
    { "slice-ms", 0, 0, G_OPTION_ARG_INT, &options->slice_ms, "Length of a turn", "MS" },
    { "limit-s", 0, 0, G_OPTION_ARG_INT, &options->limit_s, "Fewer turns if it takes more", "S" },
    { "times", 0, 0, G_OPTION_ARG_INT, &options->times, "How often, between marks", "N" },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("COMMAND [ARGUMENT...]");
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, &error))
    fail ("%s", error->message);
}

static void
print (JsonBuilder *json)
{
  g_autoptr (JsonNode) root = json_builder_get_root (json);
  g_autofree char *text = json_to_string (root, FALSE);

  puts (text);
}

typedef void (*Comparison) (const ComparePlan *, const char *, guint, JsonBuilder *);

/* Of group after group, for each number of clients in @counts. What is left of the time is shared by what is left to do. */
static void
compare_all (ComparePlan *plan, gint64 end_ns, char **groups, char **counts, Comparison run,
             JsonBuilder *json)
{
  guint left = g_strv_length (groups) * g_strv_length (counts);

  for (char **group = groups; *group != NULL; group++)
    for (char **count = counts; *count != NULL; count++)
      {
        const int clients = atoi (*count);

        if (clients < 1 || clients > SLICE_CLIENTS)
          fail ("%s clients: 1 to %d can be had", *count, SLICE_CLIENTS);
        fprintf (stderr, "bench: %s by %d\n", *group, clients);
        plan->group_ns = MAX (end_ns - monotonic_ns (), 0) / left--;
        run (plan, *group, (guint)clients, json);
      }
}

static void
compare (const Options *options)
{
  g_autoptr (GPtrArray) subjects = g_ptr_array_new_with_free_func ((GDestroyNotify)subject_free);
  ComparePlan plan = { .subjects = subjects,
                       .rounds = (guint)options->rounds,
                       .slice_ns = options->slice_ms * G_GINT64_CONSTANT (1000000) };
  const gint64 end_ns = monotonic_ns () + options->limit_s * G_GINT64_CONSTANT (1000000000);
  g_auto (GStrv) counts = g_strsplit (options->clients, ",", -1);
  char *none[] = { NULL };
  char *most[] = { NULL, NULL };
  g_autoptr (JsonBuilder) json = json_builder_new ();

  for (char **subject = options->subjects; subject != NULL && *subject != NULL; subject++)
    g_ptr_array_add (subjects, subject_new (*subject));
  most[0] = counts[g_strv_length (counts) - 1];
  json_builder_begin_array (json);
  compare_all (&plan, end_ns, options->groups != NULL ? options->groups : none, counts,
               compare_group, json);
  compare_all (&plan, end_ns, options->mixed != NULL ? options->mixed : none, most, compare_mixed,
               json);
  json_builder_end_array (json);
  print (json);
}

static void
trips (const Options *options)
{
  Subject *subject;

  if (options->subjects == NULL || options->groups == NULL)
    fail ("trips: of what?");
  subject = subject_new (options->subjects[0]);
  trips_run (subject, options->groups[0], (guint)options->times);
  subject_free (subject);
}

static guint
number (const char *text)
{
  return (guint)strtoul (text, NULL, 10);
}

static void
late (char **argv)
{
  const LatePlan plan = {
    .dir = argv[0],
    .raw = argv[1],
    .count = number (argv[2]),
    .per_second = number (argv[3]),
    .ttl_ns = number (argv[4]) * G_GINT64_CONSTANT (1000000),
  };

  scale_late (&plan);
}

int
main (int argc, char **argv)
{
  Options options
      = { .clients = g_strdup ("1"), .rounds = 3, .slice_ms = 100, .limit_s = 600, .times = 10 };
  const char *command;

  parse (&argc, &argv, &options);
  command = argc > 1 ? argv[1] : "";
  if (g_str_equal (command, "compare"))
    compare (&options);
  else if (g_str_equal (command, "trips"))
    trips (&options);
  else if (g_str_equal (command, "fill") && argc == 5)
    scale_fill (argv[2], number (argv[3]), number (argv[4]));
  else if (g_str_equal (command, "walk") && argc == 3)
    printf ("%u\n", scale_walk (argv[2]));
  else if (g_str_equal (command, "hold") && argc == 4)
    scale_hold (argv[2], number (argv[3]));
  else if (g_str_equal (command, "late") && argc == 7)
    late (argv + 2);
  else
    fail ("%s: no such command, or not with so many arguments", command);
  g_free (options.clients);
  return 0;
}
