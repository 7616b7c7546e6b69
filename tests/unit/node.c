/* What the kernel's node ids stand for, and how an OPEN that is sent back finds its second LOOKUP. */
#include "fixture.h"

#include "node.h"
#include "writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite (node, .init = store_setup, .fini = store_teardown, .timeout = 60);

#define INO 4711

static TtlNodes *
new_nodes (void)
{
  return ttl_nodes_new (root, 1);
}

static TtlNode *
look_up_value (TtlNodes *nodes, const char *backing)
{
  const struct stat st = { .st_ino = INO, .st_mode = S_IFREG | 0644 };

  TtlRecall recall;

  return ttl_nodes_ensure_value (nodes, root, backing, &st, &recall);
}

static void
forget (TtlNodes *nodes, TtlNode *node)
{
  guint64 id = ttl_node_id (node);

  ttl_node_unpin (node);
  ttl_nodes_forget (nodes, id, G_MAXUINT64);
}

Test (node, an_open_is_sent_back_once)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = look_up_value (nodes, "k");

  cr_expect (ttl_nodes_intend (nodes, node, getpid (), TRUE));
  cr_expect_not (ttl_nodes_intend (nodes, node, getpid (), TRUE));
  ttl_nodes_fulfil (nodes, getpid ());
  cr_expect (ttl_nodes_intend (nodes, node, getpid (), TRUE));
  forget (nodes, node);
  ttl_nodes_free (nodes);
}

/* Who asks for a version that has just gone is told what it was last, not what it was when it was found. */
Test (node, what_was_seen_of_a_version_is_the_newest)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = look_up_value (nodes, "k");
  const struct stat renewed = { .st_ino = INO, .st_mtim = { 20, 0 }, .st_ctim = { 20, 0 } };
  const struct stat earlier = { .st_ino = INO, .st_mtim = { 10, 0 }, .st_ctim = { 10, 0 } };
  const struct stat another = { .st_ino = INO + 1, .st_mtim = { 30, 0 }, .st_ctim = { 30, 0 } };
  struct stat seen;

  ttl_node_saw (node, &renewed);
  ttl_node_saw (node, &earlier);
  ttl_node_saw (node, &another);
  ttl_node_get_seen (node, &seen);
  cr_expect_eq (seen.st_ino, INO);
  cr_expect_eq (seen.st_mtim.tv_sec, 20);
  forget (nodes, node);
  ttl_nodes_free (nodes);
}

/* open(O_RDONLY) was sent back and then found nothing: nobody tells us. The next open of that thread is another one, and
 * served as it is it would write to a version that may be gone: ENOENT from O_CREAT. */
Test (node, an_open_to_read_that_ended_elsewhere_is_none_to_write)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = look_up_value (nodes, "k");

  cr_expect (ttl_nodes_intend (nodes, node, getpid (), FALSE));
  cr_expect (ttl_nodes_intend (nodes, node, getpid (), TRUE));
  cr_expect_not (ttl_nodes_intend (nodes, node, getpid (), TRUE));
  cr_expect (ttl_nodes_intend (nodes, node, getpid (), FALSE));
  forget (nodes, node);
  ttl_nodes_free (nodes);
}

Test (node, an_intent_to_write_is_redeemed_by_its_thread_for_its_key_alone)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = look_up_value (nodes, "k");
  TtlNode *draft, *again;

  cr_expect_null (ttl_nodes_redeem (nodes, root, "k", getpid ()));
  cr_assert (ttl_nodes_intend (nodes, node, getpid (), TRUE));
  cr_expect_null (ttl_nodes_redeem (nodes, root, "k", getppid ()));
  cr_expect_null (ttl_nodes_redeem (nodes, root, "other", getpid ()));
  draft = ttl_nodes_redeem (nodes, root, "k", getpid ());
  cr_assert_not_null (draft);
  cr_expect_eq (ttl_node_kind (draft), TTL_NODE_DRAFT);
  again = ttl_nodes_redeem (nodes, root, "k", getpid ()); /* the kernel looks up twice */
  cr_expect_eq (again, draft);
  ttl_node_unpin (again);
  forget (nodes, draft);
  forget (nodes, node);
  ttl_nodes_free (nodes);
}

/* Between the ESTALE and the LOOKUP the kernel may let go of the bucket, too. */
Test (node, an_intent_outlives_what_is_known_of_its_bucket)
{
  const struct stat st = { .st_ino = INO, .st_mode = S_IFREG | 0644 };
  TtlNodes *nodes = new_nodes ();
  TtlBucket *b;
  TtlRecall recall;
  TtlNode *node;
  guint64 id;

  cr_assert_eq (mkdir (raw ("b"), 0755), 0);
  cr_assert_eq (ttl_bucket_get_child (root, "b", &b), 0);
  id = ttl_bucket_id (b);
  node = ttl_nodes_ensure_value (nodes, b, "k", &st, &recall);
  cr_assert (ttl_nodes_intend (nodes, node, getpid (), TRUE));
  ttl_bucket_unref (b);
  forget (nodes, node);
  cr_assert_eq (ttl_bucket_get_child (root, "b", &b), 0);
  cr_expect_neq (ttl_bucket_id (b), id);
  node = ttl_nodes_redeem (nodes, b, "k", getpid ());
  cr_assert_not_null (node);
  forget (nodes, node);
  ttl_bucket_unref (b);
  ttl_nodes_free (nodes);
}

Test (node, an_intent_to_read_is_not_redeemed)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = look_up_value (nodes, "k");

  cr_assert (ttl_nodes_intend (nodes, node, getpid (), FALSE));
  cr_expect_null (ttl_nodes_redeem (nodes, root, "k", getpid ()));
  forget (nodes, node);
  ttl_nodes_free (nodes);
}

Test (node, a_version_that_is_read_keeps_its_node)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *old = look_up_value (nodes, "k");
  const struct stat first = { .st_ino = INO }, second = { .st_ino = INO + 1 };
  TtlRecall recall;
  TtlNode *next;

  cr_assert_eq (ttl_node_open_value (old, &first, STDIN_FILENO, 0, &recall), TTL_OPEN_FRESH);
  cr_expect_eq (ttl_node_open_value (old, &second, STDIN_FILENO, 0, &recall), TTL_OPEN_OTHER);
  next = ttl_nodes_ensure_value (nodes, root, "k", &second, &recall);
  cr_expect_neq (ttl_node_id (next), ttl_node_id (old));
  ttl_node_close_value (old, STDIN_FILENO);
  forget (nodes, next);
  forget (nodes, old);
  ttl_nodes_free (nodes);
}

static TtlWriter *
new_writer (void)
{
  TtlDraft *draft;

  assert_is (ttl_draft_open (store, root, "k", O_CREAT, owner (), now (), &draft), 0);
  return ttl_writer_new (draft, getpid ());
}

/* Two OPENs that meet at one node: the second is refused, or it would take the first one's writer off it. */
Test (node, a_draft_has_one_writer)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = ttl_nodes_add_draft (nodes, root, "k");
  g_autoptr (TtlWriter) first = new_writer ();
  g_autoptr (TtlWriter) second = new_writer ();
  g_autoptr (GPtrArray) writers = NULL;

  cr_assert (ttl_node_set_writer (node, first));
  cr_expect_not (ttl_node_set_writer (node, second));
  ttl_node_writer_gone (node, second, NULL);
  cr_expect (ttl_node_is_of_writer (node, first));
  ttl_node_writer_gone (node, first, NULL);
  cr_expect (ttl_node_is_of_writer (node, NULL));
  writers = ttl_nodes_dup_writers (nodes, root, "k");
  cr_expect_eq (writers->len, 0);
  forget (nodes, node);
  ttl_nodes_free (nodes);
}

static const struct stat published = { .st_ino = INO };

static TtlNode *
put_value (TtlNodes *nodes)
{
  TtlNode *node = ttl_nodes_add_draft (nodes, root, "k");
  g_autoptr (TtlWriter) writer = new_writer ();

  cr_assert (ttl_node_set_writer (node, writer));
  ttl_node_writer_gone (node, writer, &published);
  cr_assert_eq (ttl_node_kind (node), TTL_NODE_VALUE);
  return node;
}

Test (node, a_value_that_was_a_draft_is_given_no_writer)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = put_value (nodes);
  g_autoptr (TtlWriter) second = new_writer ();
  TtlRecall recall;

  cr_expect_not (ttl_node_set_writer (node, second));
  cr_expect (ttl_node_take_over (node, 1, TRUE, second, &recall));
  cr_expect (ttl_node_is_of_writer (node, second));
  ttl_node_writer_gone (node, second, NULL);
  forget (nodes, node);
  ttl_nodes_free (nodes);
}

Test (node, what_others_may_look_at_is_not_taken_over_to_be_truncated)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = put_value (nodes);
  g_autoptr (TtlWriter) second = new_writer ();
  TtlRecall recall;

  ttl_node_promise_draft (node, &published, G_USEC_PER_SEC, 1);
  cr_expect (ttl_node_may_be_taken_over (node, 1, TRUE));
  cr_expect_not (ttl_node_take_over (node, 2, TRUE, second, &recall), "promised");
  ttl_node_recall_attrs (node, &recall);
  ttl_nodes_recalled (nodes, &recall);
  cr_expect (ttl_node_may_be_taken_over (node, 1, TRUE));
  cr_expect_not (ttl_node_take_over (node, 2, TRUE, second, &recall), "promised a moment ago");
  ttl_node_promise_draft (node, &published, G_USEC_PER_SEC, 2);
  cr_expect_not (ttl_node_may_be_taken_over (node, 1, TRUE), "promised to others, too");
  cr_expect_not (ttl_node_may_be_taken_over (node, 2, TRUE));
  cr_expect (ttl_node_may_be_taken_over (node, 1, FALSE));
  ttl_node_recall_attrs (node, &recall);
  ttl_nodes_recalled (nodes, &recall);
  g_usleep (30000);
  cr_expect (ttl_node_take_over (node, 2, TRUE, second, &recall));
  cr_expect_eq (recall.n_attrs, 0);
  ttl_node_writer_gone (node, second, NULL);
  forget (nodes, node);
  ttl_nodes_free (nodes);
}

Test (node, an_id_is_never_given_twice)
{
  TtlNodes *nodes = new_nodes ();
  TtlNode *node = look_up_value (nodes, "k");
  guint64 id = ttl_node_id (node);

  forget (nodes, node);
  cr_expect_null (ttl_nodes_get (nodes, id));
  node = look_up_value (nodes, "k");
  cr_expect_neq (ttl_node_id (node), id);
  forget (nodes, node);
  ttl_nodes_free (nodes);
}
