/* O_EXCL, link and RENAME_NOREPLACE, through two mounts and beside them, all for one name: exactly one of them wins, and nobody
 * ever sees the name without the winner's value. */
#include "mount.h"

#include <signal.h>

#define WAYS 3
#define DOORS 3
#define RACERS (WAYS * DOORS)
#define ONLOOKERS 3
#define ROUNDS (rounds () / 10)

typedef enum
{
  BY_EXCL, /* not for raw peers: what they write they write elsewhere first */
  BY_LINK,
  BY_NOREPLACE,
} Way;

typedef struct
{
  Way way;
  int number;
  gint64 start_ns;
  const char *dir;
  const char *name; /* as it is called there */
} Racer;

static void
mount_two (void)
{
  mount_setup ();
  mount_start ("ttl=1h");
}

TestSuite (creating, .init = mount_two, .fini = mount_teardown, .timeout = 300);

/* 0: won, 1: lost, else a failure. */
static int
race (const void *data)
{
  const Racer *self = data;
  const char *value = text ("winner %d", self->number);
  const char *scratch = text ("%s/.tmp_%s%d", self->dir, self->name, self->number);
  const char *path = text ("%s/%s", self->dir, self->name);
  int res;

  if (self->way != BY_EXCL && put (scratch, value) < 0)
    return 2;
  sleep_until (self->start_ns);
  if (self->way == BY_EXCL)
    res = put_with (path, O_CREAT | O_EXCL, value);
  else if (self->way == BY_LINK)
    res = link (scratch, path);
  else
    res = renameat2 (AT_FDCWD, scratch, AT_FDCWD, path, RENAME_NOREPLACE);
  if (res < 0 && errno != EEXIST)
    return 3;
  if ((self->way == BY_LINK || res < 0) && self->way != BY_EXCL && unlink (scratch) < 0)
    return 4;
  return res < 0;
}

/* Until the name is there; then 0 when its value is a winner's. In a mount, a claim may be neither listed nor opened. */
static int
look_on (const void *data)
{
  const Racer *self = data;
  const char *path = text ("%s/%s", self->dir, self->name);
  gint64 end_ns = self->start_ns + 20 * SECOND;

  while (now_ns () < end_ns)
    {
      const char *value = get (path);

      if (value != NULL)
        return g_str_has_prefix (value, "winner ") ? 0 : 2;
      if (errno != ENOENT)
        return 3;
    }
  return 4;
}

static const char *
dir_of (int door)
{
  return door == 0 ? at (".") : door == 1 ? at2 (".") : backing_dir ();
}

static void
race_for (const char *name)
{
  gint64 start_ns = now_ns () + 30 * MS;
  Racer all[RACERS + ONLOOKERS];
  pid_t pids[RACERS + ONLOOKERS];
  int winner = -1;

  for (int i = 0; i < RACERS + ONLOOKERS; i++)
    {
      const int door = i % DOORS;
      Way way = (Way)(i / DOORS);

      if (door == 2 && way == BY_EXCL)
        way = BY_LINK;
      all[i] = (Racer){ way, i, start_ns, dir_of (door), name };
      pids[i] = start_child (ANY_USER, i < RACERS ? race : look_on, &all[i]);
    }
  for (int i = 0; i < RACERS + ONLOOKERS; i++)
    {
      int result = wait_for (pids[i]);

      cr_assert (result == 0 || (result == 1 && i < RACERS), "%s %d of way %d in %s: %d",
                 i < RACERS ? "racer" : "onlooker", i, (int)all[i].way, all[i].dir, result);
      if (i >= RACERS || result != 0)
        continue;
      cr_assert (winner < 0, "both %d and %d won", winner, i);
      winner = i;
    }
  cr_assert (winner >= 0, "nobody won");
  assert_value (raw (name), text ("winner %d", winner));
  assert_eventually (1000, g_strcmp0 (get (at (name)), text ("winner %d", winner)) == 0);
  assert_eventually (1000, g_strcmp0 (get (at2 (name)), text ("winner %d", winner)) == 0);
}

Test (creating, has_one_winner_whatever_the_way_and_the_door)
{
  for (int round = 0; round < ROUNDS; round++)
    race_for (text ("k%d", round));
  cr_assert_eq (count_scratch (backing_dir ()), 0);
}
