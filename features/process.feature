@process
Feature: The program jasmind

  These scenarios run the program itself, since they end it or look at how it ends.

  @load
  Scenario: It is killed in the middle of a load
    Given the SMSC takes 5 to 30 milliseconds for an answer
    And the connector has:
      | window | 10 |
      | binds  | 2  |
    And a running gateway
    When 10 clients keep sending
    And 300 messages are accepted
    And the gateway is killed
    And the clients stop
    And the gateway starts again
    Then the SMSC gets every accepted message, at most 20 of them twice

  Scenario: It is killed again and again
    Given the SMSC is down
    And a running gateway
    When a message is sent
    Then it is accepted
    When the gateway is killed
    And the gateway starts again
    And the gateway is killed
    And the SMSC comes up
    And the gateway starts again
    Then the SMSC gets the message
    And the SMSC gets nothing else

  Scenario: DLRs survive that it is killed
    Given the SMSC is down
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 3      |
    Then it is accepted
    When the gateway is killed
    And the SMSC comes up
    And the gateway starts again
    Then the SMSC gets the message
    And the page is called by POST with exactly:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
      | connector      | abc      |
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

  @load
  Scenario Outline: <signal> lets what is under way settle
    Given the SMSC takes 20 to 100 milliseconds for an answer
    And the connector has:
      | window | 20 |
    And a running gateway
    When 5 clients keep sending
    And 100 messages are accepted
    And the gateway gets the signal <signal>
    Then the gateway exits with code 0
    And the ready file is gone
    When the clients stop
    And the gateway starts again
    Then the SMSC gets every accepted message once

    Examples:
      | signal |
      | TERM   |
      | INT    |

  Scenario: The ready file says where it listens
    Given a running gateway
    Then the ready file names the HTTP API, which answers

  Scenario: HUP loads the provisioning file again
    Given a running gateway
    When the user "alice" with password "secret"
    And no user "foo"
    And the provisioning file is loaded again
    Then a message of "alice" with password "secret" is accepted, at last
    And the SMSC gets the message
    And a message of "foo" with password "bar" is refused, at last

  Scenario: A faulty provisioning file is complained of and changes nothing
    Given a running gateway
    When a faulty line "nonsense: 1"
    And the provisioning file is loaded again
    Then it complains of the line "nonsense: 1" of the provisioning file
    When a message is sent
    Then the SMSC gets the message

  Scenario: A faulty provisioning file keeps it from starting
    Given the user "foo" with password "bar"
    And a faulty line "nonsense: 1"
    When the gateway is started in vain
    Then it had exited with code 2
    And it complains of "nonsense"

  Scenario Outline: The setting [<section>] <key> = <value> keeps it from starting
    Given the setting [<section>] <key> is "<value>"
    And the user "foo" with password "bar"
    When the gateway is started in vain
    Then it had exited with code 2
    And it complains of "[<section>] <key>"
    And it complains of "<value>"

    Examples:
      | section     | key                | value    |
      | http-api    | port               | many     |
      | http-api    | long_content_split | scissors |
      | dlr-thrower | max_retries        | -1       |
      | sm-listener | log_level          | LOUD     |
      | gateway     | mode               | turbo    |

  @embedded
  Scenario: Every fault of a configuration file is told
    Given the file "jasmin.cfg" has:
      """
      [http-api]
      port = many
      colour = red
      [dlr-thrower]
      retry_delay = soon
      """
    When the command "jasmind config check <dir>/jasmin.cfg" is run
    Then it had exited with code 2
    And it complains of "<dir>/jasmin.cfg:2: [http-api] port: "many""
    And it complains of "<dir>/jasmin.cfg:3: [http-api] colour: unknown key"
    And it complains of "<dir>/jasmin.cfg:5: [dlr-thrower] retry_delay: "soon""

  @embedded
  Scenario: An option that does not exist
    When the command "jasmind --frobnicate" is run
    Then it had exited with code 2
    And it complains of "frobnicate"
