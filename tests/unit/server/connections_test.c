/* Deadlines of connections, and clients that leave, on socket pairs. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/connections.h"
#include "tests/unit/suites.h"

enum { COUNT = 4 };

static struct connections *connections;
static struct peer {
    int ours, theirs;
    struct connection *connection;
} peers[COUNT];

static void set_up(void) {
    connections = connections_create();
    ck_assert_ptr_nonnull(connections);
    for (int i = 0; i < COUNT; i++) {
        int pair[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                         0);
        peers[i] = (struct peer){pair[0], pair[1], NULL};
    }
}

static void tear_down(void) {
    connections_free(connections);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(close(peers[i].ours), 0); /* nobody else closed it */
        close(peers[i].theirs);
    }
}

static void add(int i, int64_t deadline_ns) {
    peers[i].connection = connections_add(connections, peers[i].ours, deadline_ns);
    ck_assert_ptr_nonnull(peers[i].connection);
}

/* What the other end sees. */
static bool is_shut_down(int i) {
    char byte;
    ssize_t got = read(peers[i].theirs, &byte, 1);
    ck_assert(got == 0 || (got < 0 && errno == EAGAIN));
    return got == 0;
}

static void check_shut_down(bool a, bool b, bool c, bool d) {
    const bool expected[COUNT] = {a, b, c, d};
    for (int i = 0; i < COUNT; i++)
        ck_assert_msg(is_shut_down(i) == expected[i], "connection %d", i);
}

START_TEST(those_that_took_too_long_are_shut_down) {
    add(0, 100);
    add(1, 99);
    add(2, 101);
    add(3, INT64_MAX); /* none */
    ck_assert_int_eq(connections_reap(connections, 98), 0);
    check_shut_down(false, false, false, false);
    ck_assert_int_eq(connections_reap(connections, 100), 2);
    check_shut_down(true, true, false, false);
    ck_assert_int_eq(connections_reap(connections, 100), 0); /* once */
    ck_assert_int_eq(connections_reap(connections, INT64_MAX - 1), 1);
    check_shut_down(true, true, true, false);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_ne(fcntl(peers[i].ours, F_GETFD), -1); /* not closed */
        connections_remove(connections, peers[i].connection);
    }
}
END_TEST

START_TEST(each_turn_has_a_deadline) {
    add(0, 100);
    add(1, 100);
    connection_set_turn(connections, peers[0].connection, TURN_CLIENT_SENDS, 200);
    ck_assert_int_eq(connections_reap(connections, 150), 1);
    check_shut_down(false, true, false, false);
    connection_set_turn(connections, peers[0].connection, TURN_CLIENT_SENDS, INT64_MAX);
    ck_assert_int_eq(connections_reap(connections, INT64_MAX - 1), 0);
    connection_set_turn(connections, peers[0].connection, TURN_CLIENT_SENDS, 10);
    ck_assert_int_eq(connections_reap(connections, 150), 1);
    check_shut_down(true, true, false, false);
    connection_set_turn(connections, NULL, TURN_CLIENT_SENDS, 1);
}
END_TEST

static void reap_twice(int first, int second) {
    ck_assert_int_eq(connections_reap(connections, 1), first);
    ck_assert_int_eq(connections_reap(connections, 1), second);
}

START_TEST(clients_that_leave_in_their_turn_are_shut_down) {
    for (int i = 0; i < COUNT; i++)
        add(i, INT64_MAX);
    reap_twice(0, 0);
    shutdown(peers[0].theirs, SHUT_WR);
    reap_twice(0, 1);
    check_shut_down(true, false, false, false);
    reap_twice(0, 0);
}
END_TEST

START_TEST(what_they_sent_before_is_read_first) {
    char byte;
    add(0, INT64_MAX);
    ck_assert_int_eq(write(peers[0].theirs, "ab", 2), 2);
    shutdown(peers[0].theirs, SHUT_WR);
    reap_twice(0, 0);
    ck_assert_int_eq(read(peers[0].ours, &byte, 1), 1);
    reap_twice(0, 0);
    ck_assert_int_eq(read(peers[0].ours, &byte, 1), 1);
    reap_twice(0, 1);
    check_shut_down(true, false, false, false);
}
END_TEST

START_TEST(clients_that_only_send_no_more_get_their_answer) {
    add(0, INT64_MAX);
    connection_set_turn(connections, peers[0].connection, TURN_SERVER_WORKS, INT64_MAX);
    shutdown(peers[0].theirs, SHUT_WR);
    reap_twice(0, 0);
    connection_set_turn(connections, peers[0].connection, TURN_CLIENT_READS, INT64_MAX);
    reap_twice(0, 0);
    check_shut_down(false, false, false, false);
    connection_set_turn(connections, peers[0].connection, TURN_CLIENT_SENDS, INT64_MAX);
    reap_twice(0, 1);
}
END_TEST

START_TEST(whether_a_client_sends_no_more) {
    add(0, INT64_MAX);
    add(1, INT64_MAX);
    ck_assert(!connection_sends_no_more(NULL));
    ck_assert(!connection_sends_no_more(peers[0].connection));
    ck_assert_int_eq(write(peers[0].theirs, "a", 1), 1);
    ck_assert(!connection_sends_no_more(peers[0].connection));
    shutdown(peers[0].theirs, SHUT_WR);
    ck_assert_int_eq(connections_reap(connections, 1), 0); /* the byte is not read yet */
    ck_assert(connection_sends_no_more(peers[0].connection));
    ck_assert(!connection_sends_no_more(peers[1].connection));
}
END_TEST

/* Found once, and then the turn changes: that was the end of the request. */
START_TEST(a_request_whose_end_was_just_read_goes_on) {
    add(0, INT64_MAX);
    shutdown(peers[0].theirs, SHUT_WR);
    ck_assert_int_eq(connections_reap(connections, 1), 0);
    connection_set_turn(connections, peers[0].connection, TURN_SERVER_WORKS, INT64_MAX);
    reap_twice(0, 0);
    connection_set_turn(connections, peers[0].connection, TURN_CLIENT_SENDS, INT64_MAX);
    reap_twice(0, 1);
}
END_TEST

START_TEST(those_that_are_removed_are_left_alone) {
    add(0, 100);
    add(1, 100);
    add(2, 100);
    connections_remove(connections, peers[1].connection);
    connections_remove(connections, NULL);
    ck_assert_int_eq(connections_reap(connections, 100), 2);
    check_shut_down(true, false, true, false);
    connections_free(NULL);
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------- */

static void *come_and_go(void *argument) {
    const struct peer *peer = argument;
    for (int i = 0; i < 2000; i++) {
        struct connection *connection = connections_add(connections, peer->ours, INT64_MAX);
        connection_set_turn(connections, connection, TURN_CLIENT_SENDS, i % 2 ? INT64_MAX : 1000);
        connections_remove(connections, connection);
    }
    return NULL;
}

START_TEST(connections_come_and_go_while_others_are_reaped) {
    pthread_t threads[COUNT];
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, &peers[i]), 0);
    for (int i = 0; i < 2000; i++)
        connections_reap(connections, i);
    for (int i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(connections_reap(connections, INT64_MAX), 0);
}
END_TEST

Suite *connections_suite(void) {
    Suite *suite = suite_create("connections");
    TCase *cases = tcase_create("connections");
    tcase_set_tags(cases, "concurrency");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, those_that_took_too_long_are_shut_down);
    tcase_add_test(cases, each_turn_has_a_deadline);
    tcase_add_test(cases, clients_that_leave_in_their_turn_are_shut_down);
    tcase_add_test(cases, what_they_sent_before_is_read_first);
    tcase_add_test(cases, clients_that_only_send_no_more_get_their_answer);
    tcase_add_test(cases, whether_a_client_sends_no_more);
    tcase_add_test(cases, a_request_whose_end_was_just_read_goes_on);
    tcase_add_test(cases, those_that_are_removed_are_left_alone);
    tcase_add_test(cases, connections_come_and_go_while_others_are_reaped);
    suite_add_tcase(suite, cases);
    return suite;
}
