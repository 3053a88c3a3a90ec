@dlr
Feature: Telling customers what became of their messages

  A message with a dlr-url has its outcome sent to that page: what the SMSC answered to the
  submission (level 1), what its receipt says (level 2), or both (level 3).

  Scenario: Level 1 by GET
    Given a running gateway
    When a message is sent with:
      | dlr-url    | <page>?customer=7 |
      | dlr-level  | 1                 |
      | dlr-method | GET               |
    Then it is accepted
    And the SMSC gets a message with:
      | registered_delivery | 0 |
    And the page is called by GET with exactly:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
      | connector      | abc      |
      | customer       | 7        |
    And the page is not called any more

  Scenario: Level 1 by POST is what one gets without asking for anything else
    Given a running gateway
    When a message is sent with:
      | dlr-url | <page> |
    Then it is accepted
    And the page is called by POST with exactly:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
      | connector      | abc      |
    And the page is not called any more

  Scenario Outline: Level 2 by <method>
    Given a running gateway
    When a message is sent by <method> with:
      | content    | Your code is 12345678901 |
      | dlr        | yes                      |
      | dlr-url    | <page>                   |
      | dlr-level  | 2                        |
      | dlr-method | <method>                 |
    Then it is accepted
    And the SMSC gets a message with:
      | registered_delivery | 1 |
    And the page is called by <method> with exactly:
      | id             | <id>                 |
      | message_status | DELIVRD              |
      | level          | 2                    |
      | connector      | abc                  |
      | id_smsc        | <id at the SMSC>     |
      | subdate        | <date>               |
      | donedate       | <date>               |
      | sub            | 001                  |
      | dlvrd          | 001                  |
      | err            | 000                  |
      | text           | Your code is 1234567 |
    And the page is not called any more

    Examples:
      | method |
      | GET    |
      | POST   |

  Scenario Outline: Level 3 by <method>
    Given a running gateway
    When a message is sent with:
      | dlr-url    | <page>   |
      | dlr-level  | 3        |
      | dlr-method | <method> |
    Then it is accepted
    And the SMSC gets the message
    And the page is called by <method> with exactly:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
      | connector      | abc      |
    And the page is called by <method> with exactly:
      | id             | <id>             |
      | message_status | DELIVRD          |
      | level          | 2                |
      | connector      | abc              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <date>           |
      | donedate       | <date>           |
      | sub            | 001              |
      | dlvrd          | 001              |
      | err            | 000              |
      | text           | hello            |
    And the page is not called any more

    Examples:
      | method |
      | GET    |
      | POST   |

  Scenario: A message that cannot be delivered
    Given the SMSC says UNDELIV with error 034 in its receipts
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 2      |
    Then it is accepted
    And the SMSC gets the message
    And the page is called by POST with exactly:
      | id             | <id>             |
      | message_status | UNDELIV          |
      | level          | 2                |
      | connector      | abc              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <date>           |
      | donedate       | <date>           |
      | sub            | 001              |
      | dlvrd          | 000              |
      | err            | 034              |
      | text           | hello            |

  Scenario Outline: A message that the SMSC refuses, with level <asked> asked for
    Given the SMSC answers ESME_RINVDSTADR to the next 1 message
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page>  |
      | dlr-level | <asked> |
    Then it is accepted
    And the page is called by POST with exactly:
      | id             | <id>            |
      | message_status | ESME_RINVDSTADR |
      | level          | 1               |
      | connector      | abc             |
    And the page is not called any more

    Examples:
      | asked |
      | 1     |
      | 2     |
      | 3     |

  Scenario Outline: A page that answers <status> "<body>" is called again
    Given the page answers <status> "<body>" to the first 3 calls
    And the setting [dlr-thrower] max_retries is "5"
    And a running gateway
    When a message is sent with:
      | dlr-url | <page> |
    Then it is accepted
    And the page was called 4 times, always with the same
    And the page is not called any more

    Examples:
      | status | body       |
      | 200    | thank you  |
      | 500    | ACK/Jasmin |
      | 302    | moved      |

  Scenario: A page that does not exist is given up at once
    Given the page answers 404 "ACK/Jasmin" to the first 1 call
    And a running gateway
    When a message is sent with:
      | dlr-url | <page> |
    Then it is accepted
    And the page was called 1 times, always with the same
    And the page is not called any more

  Scenario: A page that never acknowledges is given up
    Given the page answers 200 "what?" to the first 3 calls
    And the setting [dlr-thrower] max_retries is "2"
    And a running gateway
    When a message is sent with:
      | dlr-url | <page> |
    Then it is accepted
    And the page was called 3 times, always with the same
    And the page is not called any more

  Scenario: Receipts that come before the answer to the submission
    Given the SMSC sends receipts before its answers
    And a running gateway
    When a message is sent with:
      | dlr-url    | <page> |
      | dlr-level  | 3      |
      | dlr-method | GET    |
    Then it is accepted
    And the SMSC gets the message
    And the page is called by GET with exactly:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
      | connector      | abc      |
    And the page is called by GET with exactly:
      | id             | <id>             |
      | message_status | DELIVRD          |
      | level          | 2                |
      | connector      | abc              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <date>           |
      | donedate       | <date>           |
      | sub            | 001              |
      | dlvrd          | 001              |
      | err            | 000              |
      | text           | hello            |

  Scenario Outline: An SMSC whose receipts have ids in another form: dlr_msgid <dlr_msgid>
    Given the SMSC numbers messages in <answer>, and in <receipt> in its receipts
    And the SMSC sends receipts as text
    And the SMSC writes ids with <digits> digits
    And the connector has:
      | dlr_msgid | <dlr_msgid> |
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 2      |
    Then it is accepted
    And the SMSC gets the message
    And the page is called by POST with exactly:
      | id             | <id>             |
      | message_status | DELIVRD          |
      | level          | 2                |
      | connector      | abc              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <date>           |
      | donedate       | <date>           |
      | sub            | 001              |
      | dlvrd          | 001              |
      | err            | 000              |
      | text           | hello            |

    Examples:
      | dlr_msgid | answer  | receipt | digits |
      | 0         | hex     | HEX     | 0      |
      | 1         | hex     | decimal | 0      |
      | 1         | HEX     | decimal | 12     |
      | 2         | decimal | hex     | 0      |
      | auto      | hex     | decimal | 0      |

  Scenario Outline: Receipts as <form>
    Given the SMSC sends receipts as <form>
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 2      |
    Then it is accepted
    And the SMSC gets the message
    And the page is called by POST with exactly:
      | id             | <id>             |
      | message_status | DELIVRD          |
      | level          | 2                |
      | connector      | abc              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <dates>          |
      | donedate       | <dates>          |
      | sub            | <count>          |
      | dlvrd          | <count>          |
      | err            | <err>            |
      | text           | <text>           |

    Examples:
      | form    | dates  | count | err | text  |
      | text    | <date> | 001   | 000 | hello |
      | payload | <date> | 001   | 000 | hello |
      | data_sm | <date> | 001   | 000 | hello |
      | tlv     | ND     | ND    | ND  |       |

  Scenario: A long message has one DLR, with the worst state of its parts
    Given the SMSC says UNDELIV with error 069 of message 2
    And a running gateway
    When a message is sent with:
      | content    | {0123456789*35} |
      | dlr-url    | <page>          |
      | dlr-level  | 3               |
      | dlr-method | GET             |
    Then it is accepted
    And the SMSC gets the parts:
      | part          | registered_delivery |
      | 1 of 3 by udh | 1                   |
      | 2 of 3 by udh | 1                   |
      | 3 of 3 by udh | 1                   |
    And the page is called by GET with exactly:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
      | connector      | abc      |
    And the page is called by GET with exactly:
      | id             | <id>                 |
      | message_status | UNDELIV              |
      | level          | 2                    |
      | connector      | abc                  |
      | id_smsc        | <id at the SMSC>     |
      | subdate        | <date>               |
      | donedate       | <date>               |
      | sub            | 001                  |
      | dlvrd          | 000                  |
      | err            | 069                  |
      | text           | 01234567890123456789 |
    And the page is not called any more

  Scenario: A message whose validity ends while its connector is stopped
    Given the connector has:
      | started  | no |
      | validity | 1  |
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 2      |
    Then it is accepted
    And the page is called by POST with exactly:
      | id             | <id>    |
      | message_status | EXPIRED |
      | level          | 2       |
      | connector      | abc     |
      | id_smsc        | ND      |
      | subdate        | ND      |
      | donedate       | ND      |
      | sub            | ND      |
      | dlvrd          | ND      |
      | err            | ND      |
      | text           |         |
    When the connector has:
      | started  | yes  |
      | validity | None |
    And the provisioning file is loaded again
    Then the SMSC gets nothing else
