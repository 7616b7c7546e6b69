/* Whatever tool puts a value, the next command finds it, whole. */
#include "mount.h"

TestSuite (the_next_command, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (the_next_command, sees_an_echo)
{
  assert_shells ("rm -f k; echo v > k; test \"$(cat k)\" = v");
  assert_shells ("echo w > k; test \"$(cat k)\" = w");
}

Test (the_next_command, sees_an_empty_value)
{
  assert_shells ("rm -f k; : > k; test -e k && test ! -s k");
  assert_shells ("echo v > k; : > k; test -e k && test ! -s k && test -z \"$(cat k)\"");
}

Test (the_next_command, sees_all_of_a_group)
{
  assert_shells ("rm -f k; (echo a; echo b) > k; test \"$(cat k)\" = \"$(printf 'a\\nb')\"");
  assert_shells (
      "rm -f k; (/bin/echo a; /bin/echo b) > k; test \"$(cat k)\" = \"$(printf 'a\\nb')\"");
  assert_shells (
      "rm -f k; { /bin/echo a; echo b; } > k; test \"$(cat k)\" = \"$(printf 'a\\nb')\"");
  assert_shells ("rm -f k; for i in 1 2 3; do echo $i; /bin/true; done > k; test \"$(cat k)\" = "
                 "\"$(printf '1\\n2\\n3')\"");
}

Test (the_next_command, sees_a_function_a_pipeline_and_a_here_document)
{
  assert_shells ("f () { echo f; }; f > k; test \"$(cat k)\" = f");
  assert_shells ("echo p | cat | cat > k; test \"$(cat k)\" = p");
  assert_shells ("cat > k <<EOF\nhere\nEOF\ntest \"$(cat k)\" = here");
}

Test (the_next_command, sees_what_a_descriptor_of_the_shell_wrote)
{
  assert_shells ("exec 5> k; echo one >&5; echo two >&5; exec 5>&-; test \"$(cat k)\" = \"$(printf "
                 "'one\\ntwo')\"");
}

Test (the_next_command, sees_printf_tee_cp_dd_and_install)
{
  assert_shells ("printf %s v > k; test \"$(cat k)\" = v");
  assert_shells ("echo v | tee k1 > k2; test \"$(cat k1)\" = v && test \"$(cat k2)\" = v");
  assert_shells (
      "echo v > k1; echo w | tee -a k1 > /dev/null; test \"$(cat k1)\" = \"$(printf 'v\\nw')\"");
  assert_shells ("echo file > $TMP/file; cp $TMP/file k; cmp $TMP/file k");
  assert_shells ("cp k copy; cmp k copy; cp copy k; cmp k copy");
  assert_shells ("dd if=$TMP/file of=k bs=1 status=none; cmp $TMP/file k");
  assert_shells ("install -m 640 $TMP/file k; cmp $TMP/file k && test $(stat -c %a k) = 640");
}

Test (the_next_command, sees_what_a_background_command_wrote_once_it_is_waited_for)
{
  assert_shells ("rm -f k; (sleep 0.05; echo v) > k & wait; test \"$(cat k)\" = v");
}

Test (the_next_command, sees_a_value_put_by_python)
{
  need ("python3");
  assert_bash ("python3 -c \"\n"
               "import os, subprocess\n"
               "with open('k', 'w') as f: f.write('v')\n"
               "assert open('k').read() == 'v'\n"
               "assert subprocess.check_output(['cat', 'k']) == b'v'\n"
               "open('e', 'w').close()\n"
               "assert subprocess.call(['test', '-e', 'e']) == 0\n"
               "with open('k', 'a') as f: f.write('w')\n"
               "with open('k', 'r+') as f: f.seek(1); f.write('x'); f.truncate()\n"
               "assert subprocess.check_output(['cat', 'k']) == b'vx'\n"
               "\"; test \"$(cat k)\" = vx");
}

/* Node is not among the packages that the tests need; where it is installed it must work. */
Test (the_next_command, sees_a_value_put_by_node)
{
  if (!have ("node"))
    return;
  assert_bash ("node -e \"\n"
               "const fs = require('fs'), { execSync } = require('child_process');\n"
               "fs.writeFileSync('k', 'v');\n"
               "if (execSync('cat k').toString() !== 'v') process.exit(1);\n"
               "fs.appendFileSync('k', 'w');\n"
               "if (fs.readFileSync('k', 'utf8') !== 'vw') process.exit(2);\n"
               "fs.writeFile('async', 'x', () => {\n"
               "  if (execSync('cat async').toString() !== 'x') process.exit(3); });\n"
               "\"; test \"$(cat k)\" = vw && test \"$(cat async)\" = x");
}
