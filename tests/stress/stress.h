/* stress - what the actors share: where things are, which keys there are, and the account of what
 * happened.
 *
 * Every actor is a process of its own (a draft belongs to a process), ends when World.stop is set,
 * and reports through memory that all of them map. */
#pragma once

#include "journal.h"
#include "value.h"

#include <sys/types.h>

#define TTL_NS G_GINT64_CONSTANT (1000000000)

#define OWNED 6  /* keys with one owner each, judged by its journal */
#define SHARED 4 /* keys that anybody puts, links, touches, deletes */
#define HELD 4   /* keys that somebody holds open for as long as the test lasts */
#define LOCKS 2  /* keys that are only ever made with O_EXCL or link, and removed */
#define ACTORS 32
#define COMPLAINTS 24

typedef enum
{
  VIA_A,   /* the first mount */
  VIA_B,   /* the second */
  VIA_RAW, /* the backing directory, as a FileStore */
  VIAS,
} Via;

typedef enum
{
  DID_PUT,
  DID_GET,
  DID_DELETE,
  DID_TOUCH,
  DID_LIST,
  DID_LOCK,
  SAW_MISSING,
  SAW_EXPIRY,
  DEEDS,
} Deed;

typedef struct
{
  gint stop;
  guint64 deeds[DEEDS];
  gint violations; /* each counted; */
  gint told;       /* each different one told, as far as there is room */
  char complaints[COMPLAINTS][400];
  gint64 busy_since_ns[ACTORS]; /* 0: between operations; the watchdog's */
  char busy_with[ACTORS][64];
  gint holding_lock[LOCKS]; /* by how many */
  gint held_ready[HELD];
} World;

extern World *world;
extern Journal *journals[OWNED];
extern const char *roots[VIAS];

/* Who owns that key, and through what. */
Via owner_via (guint key);
/* The path of a key: shown names in the mounts, encoded in the backing directory. @kind "owned",
 * "shared" ... Free with g_free(). */
char *key_path (Via via, const char *kind, guint number);

void did (Deed deed);
void complain (const char *format, ...) G_GNUC_PRINTF (1, 2);
gboolean stopped (void);
/* The watchdog looks at operations from busy() to idle(). */
void busy (const char *with, const char *path);
void idle (void);
/* What the last busy() said. */
const char *doing (void);

/* The actors; each returns when stopped. @number tells those of one kind apart. */
void act_owner (guint key);
void act_contender (Via via, guint number);
void act_locker (Via via);
void act_holder (Via via, guint key);
void act_reader (Via via);
void act_reaper (void); /* of a raw peer */
/* Which actor this process is, for the watchdog. */
void actor_is (guint number);
